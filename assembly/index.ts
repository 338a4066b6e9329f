// The WebAssembly kernels: what TypeScript may call. Operations go through `publish`: src/kernels/wasm/operations.ts.

// Nobody calls these: linear.ts says why they are here.
export { tile2, tile3, tile4, tile5 } from "./linear";
export { commandAddress, help, publish, wait } from "./team";
