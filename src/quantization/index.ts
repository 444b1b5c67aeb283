export { fourBitTypes, type FourBitType } from "./code_books.js";
export { dequantized, fourBitLinear } from "./dequantized.js";
export { fourBitSizes, heldBy, tensorsOf, type FourBitFormat, type FourBits } from "./four_bits.js";
export { dequantize, quantize, type FourBitOptions } from "./quantize.js";
