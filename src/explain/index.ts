/**
 * `lastrow/explain`: what a forward pass is made of, traced from the model's own code, and drawn.
 *
 *   const trace = traceForward(model.info.config, { tokens, numCachedTokens });   // needs no weights
 *   const scene = inferenceFigure(trace, { layer: 0 });                           // shapes that know their rows
 *   const file = renderSvg(scene);                                                // or draw the scene yourself
 *
 *   const explanation = await explain(model, "Once upon a time");                 // beside a real run's counters
 *
 *   const probe = await AttentionProbe.load(source);                              // in a worker of your own
 *   const { heads } = probe.run(tokens, numCachedTokens, 0);                      // what each query paid attention to
 *
 * `ancestors` and `descendants` answer what a row was made from and what it feeds; `firstDifferentBits` and
 * `expectedRows` are what a comparison of two runs is made of. Pure functions and plain data, in Node and in a browser.
 */
export { firstDifferentBits } from "../client/comparison.js";
export { expectedRows } from "../protocol/generation-request.js";
export { AttentionProbe, type AttentionWeights, type ProbeOptions } from "./attention-probe.js";
export { type CacheBytes, type CacheCosts, cacheCosts } from "./cache-costs.js";
export type { Stage, StageNeed } from "./dependencies.js";
export { type ExplainOptions, type Explanation, explain, type WayCost } from "./explain.js";
export { type AttentionFigureOptions, attentionFigure } from "./figures/attention-figure.js";
export { comparisonPlot, type MeasuredComparison } from "./figures/comparison-plot.js";
export { type InferenceFigureOptions, inferenceFigure } from "./figures/inference-figure.js";
export type {
  RowReference,
  Scene,
  SceneGroup,
  SceneNode,
  ScenePath,
  SceneRect,
  SceneRole,
  SceneText,
  TextRole,
} from "./scene.js";
export { renderSvg, type SvgOptions, type SvgTheme } from "./svg.js";
export {
  ancestors,
  descendants,
  lastLogits,
  type RecordedOperation,
  type RowSet,
  type RowSource,
  type Trace,
  type TracedTensor,
  tensorNamed,
  totalMultiplyAdds,
} from "./trace.js";
export { type TracedPass, traceForward } from "./trace-forward.js";
