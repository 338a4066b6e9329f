/** How a sequence that is held by hand begins with a prompt; with what was saved of one: restore-sequence.ts. */
import type { EngineClient } from "../client/engine-client.js";
import { Sequence, type SequenceModel } from "../client/sequence.js";
import type { SequenceStorage } from "../client/sequence-storage.js";
import { checkOptions } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import type { Prompt, PromptOptions } from "./generate-options.js";
import { idsOf, type PromptedModel, promptIds } from "./prompt-ids.js";

/** How a sequence begins. */
export interface SequenceOptions extends PromptOptions {
  /** See `GenerateOptions`. */
  readonly salt?: string | undefined;
  /** See `GenerateOptions`. */
  readonly tenant?: string | undefined;
  /** Cancels with the error code `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

/** How a saved sequence is taken up. */
export interface RestoreOptions extends SequenceOptions {
  /** Told how many tokens it has, before anything is reserved for them; what it throws is thrown. @internal */
  readonly expectRoom?: ((tokens: number) => void) | undefined;
}

const SEQUENCE_OPTIONS = optionNames<SequenceOptions>()("sequence", {
  ...{ parseSpecial: true, salt: true, tenant: true, signal: true },
});

/** What is needed of a model. */
export interface HoldingModel {
  readonly engine: EngineClient;
  readonly prompted: PromptedModel;
  readonly storage: SequenceStorage;
}

/** See `LanguageModel.sequence`. */
export async function beginSequence(
  model: HoldingModel,
  prompt: Prompt,
  options: SequenceOptions,
): Promise<Sequence> {
  checkOptions(options, SEQUENCE_OPTIONS);
  const tokens = promptIds(model.prompted, prompt, options);
  const { salt = "", tenant = "", signal } = options;
  return Sequence.start(model.engine, tokens, { salt, tenant, signal }, sequenceModel(model, options));
}

/** What is appended to a sequence is read as its beginning was, without the tokens that begin a text. */
export function sequenceModel(
  { prompted, storage }: HoldingModel,
  { parseSpecial }: PromptOptions,
): SequenceModel {
  const toIds = (tokens: Prompt) => idsOf(prompted, tokens, { parseSpecial, addSpecialTokens: false });
  return { toIds, config: prompted.config, storage };
}
