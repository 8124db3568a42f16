"""What the tests of the model roles share: a random Stable Diffusion XL, of the real classes, made in a second."""

from pathlib import Path

import pytest

TEXT_LENGTH = 16


@pytest.fixture(scope="session")
def tiny_pipeline_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved StableDiffusionXLPipeline with random weights, for 16-pixel images: latents of 8 x 8."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    from resources.miniature.vocabulary import build_tokenizer

    torch.manual_seed(0)
    tokenizer = build_tokenizer(TEXT_LENGTH)
    text_config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=TEXT_LENGTH,
        projection_dim=32,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    text_encoders = CLIPTextModel(text_config).eval(), CLIPTextModelWithProjection(text_config).eval()
    unet = UNet2DConditionModel(
        sample_size=8,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=64,
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=32 + 6 * 8,
    )
    with torch.no_grad():
        # With the usual tiny initial weights all attention would be uniform, and no edit of it visible.
        for text_encoder in text_encoders:
            text_encoder.get_input_embeddings().weight *= 50
        for name, weight in unet.named_parameters():
            if ".to_q." in name or ".to_k." in name:
                weight *= 3
    autoencoder = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        block_out_channels=(8, 8),
        norm_num_groups=4,
        mid_block_add_attention=False,
    )
    pipeline = StableDiffusionXLPipeline(
        vae=autoencoder.eval(),
        text_encoder=text_encoders[0],
        text_encoder_2=text_encoders[1],
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet.eval(),
        scheduler=DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            prediction_type="v_prediction",
            timestep_spacing="trailing",
        ),
        add_watermarker=False,
    )
    folder = tmp_path_factory.mktemp("tiny_pipeline")
    pipeline.save_pretrained(folder)
    return folder
