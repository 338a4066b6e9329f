/// <reference lib="esnext.disposable" preserve="true" />
/**
 * lastrow: language models in TypeScript, built around a KV cache that never changes the answer.
 *
 * The public library. Nothing in here or below imports a Node built-in, but behind `#platform` and `#threads`.
 */
export type { ChatMessage, TemplateVariables, TextPart } from "./chat/chat-template.js";
export type {
  ComparedRun,
  ComparedStep,
  ComparisonObserver,
  ComparisonReport,
  Difference,
} from "./client/comparison.js";
export type { DroppedEvents } from "./client/event-subscription.js";
export type { Generation } from "./client/generation.js";
export type { LogitsRow } from "./client/logits-reader.js";
export type { EditOptions, Sequence } from "./client/sequence.js";
export { type ErrorCode, LastrowError } from "./errors.js";
export type { EmbeddingSettings, Pooling, RankingSettings } from "./formats/embedding-types.js";
export type { MetadataEntry, MetadataScalar } from "./formats/gguf/metadata-entries.js";
export type { LoadProgress } from "./formats/load-progress.js";
export type { ModelFile, ModelFiles } from "./formats/model-files.js";
export type { Activation, KernelsName } from "./kernels/kernels.js";
export type { KvDtype } from "./kernels/kv-types.js";
export type { PackedDtype } from "./kernels/weight-types.js";
export type { RestoreOptions, SequenceOptions } from "./library/begin-sequence.js";
export type { ChatOptions } from "./library/chat-options.js";
export type {
  ArgumentsOf,
  ChatTool,
  ToolOptions,
  ToolResult,
  ToolRound,
  ToolRun,
  ToolSchemas,
} from "./library/chat-tools.js";
export type {
  Conversation,
  Reply,
  ReplyOptions,
  ReplyPiece,
  ReplyResult,
} from "./library/conversation.js";
export type { EmbedOptions, EmbedResult, ReadoutOptions } from "./library/embed.js";
export type { CompareOptions, GenerateOptions, Prompt, PromptOptions } from "./library/generate-options.js";
export type { LanguageModel } from "./library/language-model.js";
export { load } from "./library/load.js";
export type { LoadOptions } from "./library/load-options.js";
export type { ModelInfo } from "./library/model-info.js";
export type { PerplexityOptions, PerplexityResult } from "./library/perplexity.js";
export { type LoadPlan, planLoad } from "./library/plan-load.js";
export type { LogitsOptions, LogitsResult, RowsOptions } from "./library/prompt-logits.js";
export type { RankedDocument, RankOptions, RankResult } from "./library/rank.js";
export {
  type AnySchema,
  type JsonSchema,
  RefusedValueError,
  type StandardSchema,
  type StructureOptions,
  type ValueOf,
} from "./library/structured-output.js";
export type { ModelConfig } from "./model/config.js";
export type { ModelSource } from "./platform/platform.js";
export type { EngineEvent, EngineEventType, EngineStats } from "./protocol/engine-stats.js";
export type {
  GenerationChoice,
  GenerationPiece,
  GenerationResult,
  GenerationTimings,
  Mode,
} from "./protocol/generation-request.js";
export type { KvTier, RejectReason, TierConnection, TierPolicy, TierStats } from "./protocol/kv-tier.js";
export type { TierAnswer, TierAsk, TierBlock, TierIdentity } from "./protocol/tier-messages.js";
export type { FinishReason } from "./sampling/continuation.js";
export type { GeneratedLogprobs } from "./sampling/logprobs.js";
export type { SamplingOptions } from "./sampling/options.js";
export type { TokenLogprob } from "./sampling/sampler.js";
export type { SavedSource } from "./saved-sequence/saved-source.js";
export type {
  DecodeOptions,
  EncodeOptions,
  StreamOptions,
  TextStream,
  Tokenizer,
} from "./tokenizer/tokenizer.js";
export type { CallFormatName } from "./tools/call-format.js";
export type { ToolCall, ToolCallDelta, ToolChoice } from "./tools/tool.js";
