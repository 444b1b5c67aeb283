export { cpu, parseDevice, type Device } from "./device.js";
export { DeviceTensor, liveTensors } from "./device_tensor.js";
export { dtypes, type DType } from "./dtype.js";
export { installLibtorch } from "./install.js";
export { ensureLibtorch, locateLibtorch, type LibtorchLocation } from "./locate.js";
export { loadTorch, numThreads, type Torch, type TorchOptions } from "./torch.js";
