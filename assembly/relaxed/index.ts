// The kernels that use relaxed dot products, a module of their own: the others must compile where relaxed SIMD is unknown.
// They import these functions as `@external("relaxed", name)`, over the same memory, and call them only where choices.ts
// says so. Data of this module lies apart from theirs (scripts/build-kernels.ts); each thread has an instance, so nothing
// here keeps state.

export { linearInt8Relaxed } from "./linear-int8";
export { rowsByPanels as linearQuantisedRelaxed } from "../rows-by-panels";
export { rowsByWidened as linearWidenedRelaxed } from "../rows-widened";
// These are not called from outside: tiles.ts says why they are here.
export {
  rowBytes, rowBytesMinimum, rowBytesSteps, rowBytesSteps16, rowNibbles, rowNibblesMinimum, rowNibblesSteps,
  twoBytes, twoBytesMinimum, twoBytesSteps, twoBytesSteps16, twoNibbles, twoNibblesMinimum, twoNibblesSteps,
} from "../tiles-quantised";
export { rowShort, rowShortMinimum, rowShortSteps, twoShort, twoShortMinimum, twoShortSteps } from "./tiles-short";
export { widened2, widened2Offsets, widened3, widened3Offsets } from "../tiles-widened";
export { long2, long2Offsets, long3, long3Offsets, long6, long6Offsets } from "./tiles-widened";
export { int8RelaxedHalf2, int8RelaxedHalf3, int8RelaxedTile1, int8RelaxedTile2, int8RelaxedTile3 } from "./tiles-int8";
