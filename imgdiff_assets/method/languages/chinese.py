"""Chinese."""

from imgdiff_assets.method.language import Language, PhraseRules, Sentences, SideRules, WordGroup, listed

LANGUAGE = Language(
    name="chinese",
    scripts=("Han",),
    foreign_scripts=("Hiragana", "Katakana"),
    spaces=False,
    agreeing=(listed("个 只 张 条 辆 盆 盏 台 位 把 本 杯 件 座 头 匹 棵 朵 块 片 双 对 群 名 架 艘 根 瓶 碗 盘"),),
    kinds={
        "attribute": listed("红 红色 蓝 蓝色 绿 绿色 黄 黄色 黑 黑色 白 白色 灰色 棕色 大 小 高 矮 旧 新"),
        "count": listed("一 二 两 三 四 五 六 七 八 九 十 几"),
        "position": listed("上 下 里 外 前 后 左 右 旁边 上面 下面 里面 外面 前面 后面 左边 右边"),
    },
    sentences=Sentences(
        questions={
            "difference": ("两张图片{region}有什么不同？", "请描述第二张图片{region}与第一张相比的变化。"),
            "differences": (
                "两张图片有哪些不同之处？请逐一列出，并给出每处的边框（{coordinates}）。",
                "请列出两张图片之间的所有差异，每处附上边框（{coordinates}）。",
            ),
            "which_image": ("两张图片中，哪一张{region}符合描述“{subject}”？第一张答A，第二张答B。",),
            "same_or_different": ("两张图片的内容相同吗？请回答“相同”或“不同”。",),
            "grounding": ("请找出符合以下描述的区域：{subject}。请给出它的边框（{coordinates}）。",),
            "edit_instruction": ("怎样编辑第一张图片才能得到第二张？请用一条指令回答。",),
            "commonality": ("两张图片有什么共同之处？",),
        },
        region="红框内",
        corners="方框{box}内",
        conventions={
            "fraction": "[x1, y1, x2, y2]，为宽和高的比例",
            "thousandths": "[x1, y1, x2, y2]，为宽和高的千分比",
            "pixels": "[x1, y1, x2, y2]，单位为像素",
        },
        both_shown="第一张是“{first}”，第二张是“{second}”",
        replaced="将“{old}”替换为“{new}”。",
        changed="将“{old}”改为“{new}”。",
        added="添加“{new}”。",
        removed="移除“{old}”。",
        in_common="两张图片都符合描述“{shown}”。",
        in_common_quoted="两张图片都符合描述“{shown}”。",
        something="某物",
        same="相同。",
        different="不同。",
        told_apart="左图是{source}，右图是{target}。",
        side_by_side="图片并排展示两张图片：左边是第一张，右边是第二张。",
    ),
    phrases=PhraseRules(
        greetings=(
            r"(?:好的|当然|可以|没问题)[，。！：,!]*",
            r"(?:答案|物体|描述|对象|物体名称|主体|区别|不同|差异)(?:是)?[：:]",
        ),
        farewells=(r"希望(?:这|对你)|请告诉我|还有(?:什么|其他)问题",),
        lead_ins=(
            r"在?(?:(?:这|那)[张个]?|该|此)?红?(?:图片|图像|照片|画面|图|方框|边框|框|区域|部分)(?:[中里内上]面?)?的?"
            r"(?:物体|对象|主体|东西)?(?:显示|展示|包含|描绘|呈现|出现|可以看到|能看到)?(?:的是|的|了|着)?(?:是|有|为)?"
            r"(?=[一两二三四五六七八九十几\d]|可能|大概|应该|好像|像)",
            r"(?:(?:这|那|它)(?:个物体)?)?(?:可能|大概|应该|看起来|看上去|似乎|好像|像)*是(?!的)",
            r"(?:看起来|看上去|好像|似乎|可能)(?:有|像)?",
            r"我?(?:可以|能)?看[到见](?:了|的是)?",
        ),
        clauses=(r"，",),
        refusals=(r"抱歉|对不起|无法|不能",),
        nothing=(r"看不清|不清楚|太模糊|没有(?:任何)?(?:物体|东西)|什么(?:也|都)没有|空的$",),
        empty=(r"(?:图片|物体|东西|框)?\W*",),
    ),
    sides=SideRules(
        source=listed("左 原"),
        target=listed("右 后"),
        denying=listed("没 无 不"),
        both=listed("都"),
        called={r"第一[张幅]?": "左", r"第二[张幅]?": "右"},
        changes=(
            r"(?P<old>.+?)(?:变成|被替换成|被换成|换成|改成)了?(?P<new>.+)",
            r"(?P<new>.+?)(?:代替|取代)了?(?P<old>.+)",
        ),
        joints=r"[,:，：、]|而|(?=[左右][边侧图])",
        nothing=(r"没有(?:任何)?(?:区别|变化|不同)|完全相同|一样",),
        silent=listed("的 了 是 在 有 一 个 只 张 条 辆 图 片 中 边 侧 上 里 和 而"),
        exclusive=(listed("两 二 三 四 五 六 七 八 九 十"), listed("红 黄 绿 蓝 黑 白 灰 棕")),
    ),
    groups={
        "people": WordGroup(
            listed(
                "人 男 女 孩 婴儿 儿童 老师 学生 警察 医生 护士 厨师 服务员 司机 "
                "士兵 运动员 球员 观众 顾客 乘客 新娘 新郎 母亲 "
                "父亲 妈妈 爸爸 爷爷 奶奶 姐 妹 哥 弟 他 她 脸 肖像 自拍"
            )
        )
    },
)
