"""HunyuanVideo 1.5: rectified flow, prompts read by a language model and letters by a byte T5."""

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.models.architectures.base import Architecture, ClipShape, Control, Texts


class Hunyuan15(Architecture):
    """HunyuanVideo 1.5's text-to-video pipeline, without a first picture."""

    pipeline_name = "HunyuanVideo15Pipeline"
    parts = ("text_encoder", "text_encoder_2", "transformer", "vae")

    @property
    def space_stride(self) -> int:
        return int(self.pipeline.vae_scale_factor_spatial)

    @property
    def time_stride(self) -> int:
        return int(self.pipeline.vae_scale_factor_temporal)

    @property
    def latent_channels(self) -> int:
        return int(self.vae.config.latent_channels)

    def _text_parts(self) -> tuple[str, ...]:
        return ("text_encoder", "text_encoder_2")

    def _encode_text(self, prompt: str) -> Texts:
        embeds, mask, glyphs, glyph_mask = self.pipeline.encode_prompt(
            prompt, device=self.device, dtype=self._network_dtype()
        )
        return {
            "encoder_hidden_states": embeds,
            "encoder_attention_mask": mask,
            "encoder_hidden_states_2": glyphs,
            "encoder_attention_mask_2": glyph_mask,
        }

    def prepare(self, clip: ClipShape, control: Control | None) -> dict[str, Tensor]:
        dtype, device = self._network_dtype(), self.device
        shape = (1, self.latent_channels + 1, *self.latent_size(clip))
        tokens = (1, self.pipeline.vision_num_semantic_tokens, self.pipeline.vision_states_dim)
        # No first picture: its latents, their mask and what a vision model saw in it are zero.
        return {
            "picture": torch.zeros(shape, dtype=dtype, device=device),
            "image_embeds": torch.zeros(tokens, dtype=dtype, device=device),
        }

    def velocity(
        self,
        x: Float[Tensor, "1 *state"],
        sigma: float,
        text: Texts,
        clip: ClipShape,
        prepared: dict[str, Tensor],
    ) -> Float[Tensor, "1 *state"]:
        dtype = self._network_dtype()
        out = self.transformer(
            hidden_states=torch.cat([x.to(dtype), prepared["picture"]], dim=1),
            timestep=torch.full((1,), 1000 * sigma, device=x.device, dtype=dtype),
            image_embeds=prepared["image_embeds"],
            return_dict=False,
            **text,
        )
        return out[0].float()

    def normalise(
        self, latents: Float[Tensor, "1 channel time rows columns"]
    ) -> Float[Tensor, "1 channel time rows columns"]:
        return latents * self.vae.config.scaling_factor

    def denormalise(
        self, latents: Float[Tensor, "1 channel time rows columns"]
    ) -> Float[Tensor, "1 channel time rows columns"]:
        return latents / self.vae.config.scaling_factor
