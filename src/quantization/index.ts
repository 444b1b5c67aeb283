export { dynamicMap, fourBitTypes, levels, type FourBitType } from "./code_books.js";
export { dequantized, fourBitLinear } from "./dequantized.js";
export {
  fourBitShapes,
  fourBitSizes,
  heldBy,
  nestedBlockSize,
  tensorsOf,
  type FourBitFormat,
  type FourBits,
} from "./four_bits.js";
export { dequantizeLayers, fourBitLayers, Linear4bit, parameterCounts, wholeWeight } from "./linear4bit.js";
export { dequantize, quantize, quantizeElements, transposed, type FourBitOptions } from "./quantize.js";
