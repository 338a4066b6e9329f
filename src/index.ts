/**
 * lastrow: GPT inference in TypeScript, built around a KV cache that never changes the answer.
 *
 * The public library. Nothing in here or below imports a Node built-in, but behind `#platform` and `#threads`.
 */
export type { ChatMessage } from "./chat/chat-template.js";
export type { Conversation, Reply, ReplyOptions } from "./chat/conversation.js";
export type {
  ComparedRun,
  ComparedStep,
  ComparisonObserver,
  ComparisonReport,
  Difference,
} from "./engine/comparison.js";
export type { EngineEvent, EngineEventType, EngineStats } from "./engine/engine-stats.js";
export type { DroppedEvents } from "./engine/event-stream.js";
export type { Generation } from "./engine/generation.js";
export type {
  FinishReason,
  GeneratedLogprobs,
  GenerationChoice,
  GenerationPiece,
  GenerationResult,
  GenerationTimings,
  Mode,
} from "./engine/generation-request.js";
export type { LogitsRow } from "./engine/logits-reader.js";
export type { Sequence } from "./engine/sequence.js";
export { type ErrorCode, LastrowError } from "./errors.js";
export type { ModelFile, ModelFiles } from "./formats/model-files.js";
export type { CompareOptions, GenerateOptions, Prompt, PromptOptions } from "./generate-options.js";
export type { Activation, KernelsName, PackedDtype } from "./kernels/kernels.js";
export type { KvDtype } from "./kernels/kv-layout.js";
export type {
  ChatOptions,
  LanguageModel,
  LogitsOptions,
  LogitsResult,
  ModelInfo,
  RestoreOptions,
  SequenceOptions,
} from "./language-model.js";
export { type LoadOptions, load } from "./load.js";
export type { ModelConfig } from "./model/config.js";
export type { PerplexityOptions, PerplexityResult } from "./perplexity.js";
export type { LoadProgress, ModelSource } from "./platform/platform.js";
export type { SamplingOptions } from "./sampling/options.js";
export type { TokenLogprob } from "./sampling/sampler.js";
export type { SavedSource } from "./saved-sequence/saved-source.js";
export type { DecodeOptions, EncodeOptions, TextStream, Tokenizer } from "./tokenizer/tokenizer.js";
