/**
 * `lastrow/sampling`: how a token is chosen from logits, for programs that choose their own: with the logits of a
 * `Sequence`, the same options as `generate`, and the same token for the same seed and position.
 *
 *   const options = resolveSampling({ temperature: 0.8, topP: 0.9, seed: 7 }, {}, vocabSize);
 *   const sampler = new Sampler(options, new SamplingScratch(vocabSize));
 *   const { token } = sampler.sample(logits, { prompt, generated }, position);
 */
export { argmax } from "./argmax.js";
export { Candidates } from "./candidates.js";
export { type ResolvedSampling, resolveSampling, type SamplingOptions } from "./options.js";
export { type SampledToken, Sampler } from "./sampler.js";
export { SamplingScratch } from "./scratch.js";
