"""A SAM 2 in miniature, by chance: every part that the real one has, a few hundred kilobytes."""

from pathlib import Path

import torch
from transformers import Sam2VideoConfig, Sam2VideoModel

SIDE = 64


def tiny_config() -> Sam2VideoConfig:
    width = 128
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "image_size": [SIDE, SIDE],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 2, 2],
        "window_size_per_stage": [8, 4, 4, 4],
        "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [2, 2],
    }
    return Sam2VideoConfig(
        vision_config={
            "model_type": "sam2_vision_model",
            "backbone_config": backbone,
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
            "fpn_hidden_size": width,
        },
        prompt_encoder_config={"hidden_size": width, "image_size": SIDE, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": width,
            "mlp_dim": width,
            "iou_head_hidden_dim": width,
            "num_attention_heads": 2,
        },
        image_size=SIDE,
        memory_attention_hidden_size=width,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=width,
        memory_attention_rope_feat_sizes=[4, 4],
        memory_encoder_hidden_size=width,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=width,
        memory_fuser_embed_dim=width,
        memory_fuser_intermediate_dim=width,
    )


def write_tiny(folder: Path) -> Path:
    """Write the weights as a download leaves them and return their folder."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Sam2VideoModel(tiny_config())
        # The library's own start is so faint that hardly anything would depend on anything.
        for module in network.modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                module.reset_parameters()
        for name, value in network.named_parameters():
            if "embedding" in name or "pointer" in name or "temporal" in name:
                torch.nn.init.normal_(value)
            # What was never taught is sure of nothing.
            if "iou_prediction_head.proj_out" in name:
                torch.nn.init.zeros_(value)
        # Where no object appears, all logits are one number.
        torch.nn.init.constant_(network.mask_decoder.pred_obj_score_head.proj_out.bias, 20.0)
    network.save_pretrained(folder)
    return folder
