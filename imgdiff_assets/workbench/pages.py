"""The pages that are handed to the browser, in the order of its navigation."""

from imgdiff_assets.browser.site import MorePage
from imgdiff_assets.release import compare_page
from imgdiff_assets.workbench import threshold_page

PAGES: tuple[MorePage, ...] = (*threshold_page.PAGES, *compare_page.PAGES)
