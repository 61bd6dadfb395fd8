"""A textured mesh as USDZ, which Apple's viewers open: one text layer and its picture.

An archive without compression in which each file begins at a multiple of 64 bytes (the USDZ file
format specification); the layer is USD's text form, which needs no library to write.
"""

import io
import struct
import zipfile

import numpy as np
from PIL import Image

from threed.textured_mesh import TexturedMesh

ALIGNMENT = 64
LOCAL_HEADER_BYTES = 30
PADDING_ID = 0x1986
"""An extra field that readers skip; its number means nothing."""
POSITION_DIGITS = 9
"""So many hold every bit of a float32, wherever the mesh stands."""

LAYER = """#usda 1.0
(
    defaultPrim = "Object"
    metersPerUnit = 1
    upAxis = "Y"
)

def Xform "Object" (
    kind = "component"
)
{
    def Mesh "Surface" (
        prepend apiSchemas = ["MaterialBindingAPI"]
    )
    {
        uniform token subdivisionScheme = "none"
        uniform bool doubleSided = 0
        float3[] extent = [%(extent)s]
        int[] faceVertexCounts = [%(counts)s]
        int[] faceVertexIndices = [%(corners)s]
        point3f[] points = [%(points)s]
        normal3f[] normals = [%(normals)s] (
            interpolation = "vertex"
        )
        texCoord2f[] primvars:st = [%(uv)s] (
            interpolation = "vertex"
        )
        rel material:binding = </Object/Material>
    }

    def Material "Material"
    {
        token outputs:surface.connect = </Object/Material/Shader.outputs:surface>

        def Shader "Shader"
        {
            uniform token info:id = "UsdPreviewSurface"
            color3f inputs:diffuseColor.connect = </Object/Material/Texture.outputs:rgb>
            float inputs:roughness = 1
            float inputs:metallic = 0
            token outputs:surface
        }

        def Shader "Texture"
        {
            uniform token info:id = "UsdUVTexture"
            asset inputs:file = @texture.png@
            float2 inputs:st.connect = </Object/Material/Reader.outputs:result>
            token inputs:sourceColorSpace = "sRGB"
            token inputs:wrapS = "clamp"
            token inputs:wrapT = "clamp"
            float3 outputs:rgb
        }

        def Shader "Reader"
        {
            uniform token info:id = "UsdPrimvarReader_float2"
            string inputs:varname = "st"
            float2 outputs:result
        }
    }
}
"""


def usdz_bytes(mesh: TexturedMesh) -> bytes:
    """Return a USDZ of a mesh that is +y up, a unit a metre."""
    bounds = np.stack([mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)])
    layer = LAYER % {
        "extent": _tuples(bounds, POSITION_DIGITS),
        "counts": ", ".join(["3"] * len(mesh.faces)),
        "corners": ", ".join(map(str, mesh.faces.reshape(-1).tolist())),
        "points": _tuples(mesh.vertices, POSITION_DIGITS),
        "normals": _tuples(mesh.normals),
        "uv": _tuples(mesh.uv),
    }
    picture = io.BytesIO()
    Image.fromarray(mesh.texture).save(picture, format="PNG")
    # The layer comes first: readers open the first file.
    return _aligned_zip({"mesh.usda": layer.encode(), "texture.png": picture.getvalue()})


def _tuples(rows: np.ndarray, digits: int = 6) -> str:
    return ", ".join("(" + ", ".join(f"{x:.{digits}g}" for x in row) + ")" for row in rows.tolist())


def _aligned_zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            start = buffer.tell() + LOCAL_HEADER_BYTES + len(name.encode()) + 4
            padding = -start % ALIGNMENT
            entry.extra = struct.pack("<HH", PADDING_ID, padding) + b"\0" * padding
            archive.writestr(entry, data)
    return buffer.getvalue()
