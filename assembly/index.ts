// The WebAssembly kernels: what TypeScript may call. Operations go through `run`: src/kernels/wasm/operations.ts.

// These are not called from outside: tiles.ts says why they are here.
export {
  firstRowBf16, firstRowF16, narrow3Bf16, narrow4Bf16, narrow5Bf16, quadrupleBf16, quadrupleF16, rowBf16, rowF16, tile2Bf16, tile2F16, tile3Bf16, tile3F16,
  tile4Bf16, tile4F16, tile5Bf16, tile5F16,
} from "./linear-half";
export { sextuple, single, tile1, tile2, tile3, tile4, tile5, triple } from "./tiles";
export {
  rowBytes, rowBytesMinimum, rowBytesSteps, rowBytesSteps16, rowNibbles, rowNibblesMinimum, rowNibblesSteps,
} from "./tiles-quantised";
export { deep5 } from "./tiles-deep";
export { narrow3, narrow4, narrow5 } from "./tiles-narrow";
export { widened2, widened2Offsets, widened3, widened3Offsets } from "./tiles-widened";
export { int8Far4, int8Half3, int8Half4, int8Tile1, int8Tile2, int8Tile3, int8Tile4 } from "./tiles-int8";
export { digits as int8Digits, wholeGroup as int8Group } from "./rows-int8";
export { choicesAddress } from "./choices";
export { help, run, wait } from "./team";
