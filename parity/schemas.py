"""Writes src/torch/schemas.generated.ts: the schemas of the operators that the library calls.

Run with a PyTorch 2.13 environment: python parity/schemas.py
"""

import json
import pathlib

import torch

NAMES = """
neg abs exp log log1p expm1 sqrt rsqrt reciprocal sin cos tanh sigmoid silu gelu relu erf sign floor ceil round
isnan isinf logical_not bitwise_not
silu_backward gelu_backward sigmoid_backward tanh_backward
mul.Tensor div.Tensor pow.Tensor_Tensor maximum minimum atan2 hypot
eq.Tensor ne.Tensor lt.Tensor le.Tensor gt.Tensor ge.Tensor logical_and logical_or logical_xor
bitwise_and.Tensor bitwise_or.Tensor bitwise_xor.Tensor bitwise_left_shift.Tensor bitwise_right_shift.Tensor
remainder.Tensor floor_divide where.self clamp.Tensor lerp.Tensor lerp_.Tensor masked_fill.Tensor
mul_.Tensor div_.Tensor neg_ abs_ exp_ log_ sqrt_ rsqrt_ reciprocal_ tanh_ sigmoid_ silu_ relu_ masked_fill_.Tensor
sum.dim_IntList mean.dim amax amin argmax argmin logsumexp any.dims all.dims cumsum prod.dim_int linalg_matrix_norm.str_ord
topk sort
dot mm bmm linear
clone _to_copy permute expand cat flip tril triu
slice_backward
embedding embedding_dense_backward gather scatter_add scatter_add_ index_select index_copy index_copy_ index_put index_put_
_softmax _softmax_backward_data _log_softmax _log_softmax_backward_data
_fused_rms_norm native_layer_norm native_layer_norm_backward
_weight_norm_interface _weight_norm_interface_backward
_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention_for_cpu_backward
_fused_adamw_.tensor_lr _foreach_mul_.Tensor _foreach_norm.Scalar
mkldnn::_reorder_linear_weight mkldnn::_linear_pointwise mkldnn::_linear_pointwise.binary
_weight_int8pack_mm copy_
linalg_svd linalg_qr
""".split()
SKIPPED = {"_foreach_norm.Scalar"}  # has a Scalar argument, which the ABI refuses

schemas = {}
for schema in torch._C._jit_get_all_schemas():
    key = schema.name + ("." + schema.overload_name if schema.overload_name else "")
    schemas[key] = str(schema)

rows = []
for name in sorted(set(NAMES) - SKIPPED):
    key = name if "::" in name else "aten::" + name
    text = schemas[key]
    rows.append(f'  "{name}": {json.dumps(text)},')

out = pathlib.Path(__file__).parent.parent / "src/torch/schemas.generated.ts"
out.write_text(
    f"// Written by parity/schemas.py from PyTorch {torch.__version__.split('+')[0]}. Do not edit.\n"
    "export const schemaTexts = {\n" + "\n".join(rows) + "\n} as const;\n"
)
print(f"{len(rows)} schemas")
