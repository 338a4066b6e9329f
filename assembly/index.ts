// The WebAssembly kernels: what TypeScript may call.

export { attention, writeKv } from "./attention";
export { linear } from "./linear";
export { packInOut, packOutIn, unpack } from "./pack";
export { activate, add, addRowsAt, embed, gatherRows, hasNaN, layerNorm } from "./rows";
