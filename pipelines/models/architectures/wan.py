"""Wan 2.1 and Wan 2.2 TI2V: rectified flow, causal autoencoder, one text encoder (UMT5)."""

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.models.architectures.base import Architecture, ClipShape, Texts, channelwise

MAX_TOKENS = 512


class Wan(Architecture):
    """Wan's text-to-video pipeline; 2.2's small model takes a noise level a token."""

    pipeline_name = "WanPipeline"
    parts = ("text_encoder", "transformer", "vae")

    @property
    def space_stride(self) -> int:
        return int(self.pipeline.vae_scale_factor_spatial)

    @property
    def time_stride(self) -> int:
        return int(self.pipeline.vae_scale_factor_temporal)

    @property
    def pixel_multiple(self) -> int:
        return self.space_stride * int(self.transformer.config.patch_size[1])

    def _encode_text(self, prompt: str) -> Texts:
        embeds, _ = self.pipeline.encode_prompt(
            prompt,
            do_classifier_free_guidance=False,
            max_sequence_length=MAX_TOKENS,
            device=self.device,
        )
        return {"encoder_hidden_states": embeds.to(self._network_dtype())}

    def velocity(
        self,
        x: Float[Tensor, "1 *state"],
        sigma: float,
        text: Texts,
        clip: ClipShape,
        prepared: dict[str, Tensor],
    ) -> Float[Tensor, "1 *state"]:
        timestep = torch.full((1,), 1000 * sigma, device=x.device)
        if self.pipeline.config.expand_timesteps:
            _, rows, columns = self.transformer.config.patch_size
            time, height, width = self.latent_size(clip)
            tokens = time * (height // rows) * (width // columns)
            timestep = timestep[:, None].expand(-1, tokens)
        out = self.transformer(
            hidden_states=x.to(self._network_dtype()),
            timestep=timestep,
            return_dict=False,
            **text,
        )
        return out[0].float()

    def normalise(
        self, latents: Float[Tensor, "1 channel time rows columns"]
    ) -> Float[Tensor, "1 channel time rows columns"]:
        config = self.vae.config
        shift, scale = channelwise(config.latents_mean, latents), config.latents_std
        return (latents - shift) / channelwise(scale, latents)

    def denormalise(
        self, latents: Float[Tensor, "1 channel time rows columns"]
    ) -> Float[Tensor, "1 channel time rows columns"]:
        config = self.vae.config
        return latents * channelwise(config.latents_std, latents) + channelwise(
            config.latents_mean, latents
        )
