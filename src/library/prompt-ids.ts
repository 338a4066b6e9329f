/**
 * What a prompt becomes: the token ids that are fed. Text goes through the tokenizer, ids are taken as they are, and what is
 * neither is refused with a sentence that says what to give.
 */
import { invalidArgument, LastrowError } from "../errors.js";
import type { ModelConfig } from "../model/config.js";
import { isListOfIds, shown } from "../option-checks.js";
import { checkPrompt } from "../protocol/generation-request.js";
import type { EncodeOptions, Tokenizer } from "../tokenizer/tokenizer.js";
import type { InfillOptions, Prompt, PromptOptions } from "./generate-options.js";

/** What is needed of a model. */
export interface PromptedModel {
  /** What messages call it. */
  readonly label: string;
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer | null;
  /** Start token for an empty prompt. */
  readonly bosTokenId: number | null;
}

/**
 * The ids that are fed for a prompt, checked: with a `suffix` they ask for what stands between the two.
 * @throws LastrowError as `LanguageModel.promptTokens`
 */
export function promptIds(
  model: PromptedModel,
  prompt: Prompt,
  options: PromptOptions & InfillOptions,
): number[] {
  const suffix = checkedSuffix(options);
  if (suffix !== "") return infillIds(model, prompt, suffix, options);
  let tokens = prompt === "" && model.tokenizer === null ? [] : idsOf(model, prompt, options);
  if (tokens.length === 0) {
    if (model.bosTokenId === null) {
      throw new LastrowError(
        "empty_prompt",
        `The prompt is empty, and ${model.label} has no start token to begin with.`,
      );
    }
    tokens = [model.bosTokenId];
  }
  checkPrompt(tokens, model.config);
  return tokens;
}

function infillIds(
  model: PromptedModel,
  prompt: Prompt,
  suffix: string,
  { parseSpecial = false }: PromptOptions,
): number[] {
  if (typeof prompt !== "string") {
    throw invalidArgument(`suffix belongs to a prompt that is a text, not ${shown(prompt)}.`);
  }
  if (parseSpecial) throw invalidArgument("parseSpecial cannot be combined with suffix.");
  infillEnds(model);
  const tokens = model.tokenizer!.encodeInfill(prompt, suffix);
  checkPrompt(tokens, model.config);
  return tokens;
}

/**
 * The tokens that end a middle, beside the model's end tokens.
 * @throws LastrowError `tokenizer_missing`; `model_unsupported` for a model that cannot be asked for a middle
 */
export function infillEnds({
  label,
  tokenizer,
}: Pick<PromptedModel, "label" | "tokenizer">): readonly number[] {
  if (tokenizer === null) throw withoutTokenizer(label);
  if (tokenizer.infillTokens !== null) return tokenizer.infillTokens.ends;
  throw new LastrowError(
    "model_unsupported",
    `${label} cannot fill in the middle of a text (suffix): its tokenizer ${tokenizer.missingInfill}.`,
  );
}

/** @returns "" for none */
export function checkedSuffix({ suffix = "" }: InfillOptions): string {
  if (typeof suffix === "string") return suffix;
  throw invalidArgument(`suffix is a text, not ${shown(suffix)}.`);
}

/**
 * The ids of a text, or a copy of a list of ids: which ids there are is seen to where the model's are known.
 * @throws LastrowError `tokenizer_missing`, `invalid_argument`
 */
export function idsOf(
  { label, tokenizer }: Pick<PromptedModel, "label" | "tokenizer">,
  prompt: Prompt,
  { parseSpecial = false, addSpecialTokens = true }: EncodeOptions,
): number[] {
  if (typeof prompt === "string") {
    if (tokenizer === null) throw withoutTokenizer(label);
    return tokenizer.encode(prompt, { parseSpecial, addSpecialTokens });
  }
  if (isListOfIds(prompt)) {
    const ids: unknown[] = [...prompt];
    const isOther = (id: unknown) => typeof id === "string" || Array.isArray(id) || isMessage(id);
    if (!ids.some(isOther)) return ids as number[];
  }
  throw invalidArgument(wrongPrompt(prompt));
}

/** What says that a model takes no text. */
export function withoutTokenizer(label: string): LastrowError {
  return new LastrowError(
    "tokenizer_missing",
    `${label} has no tokenizer (tokenizer.json, or vocab.json with merges.txt); give token ids instead of text.`,
  );
}

function isMessage(value: unknown): boolean {
  return typeof value === "object" && value !== null && "role" in value;
}

/** What was given in place of a prompt, and what takes it. */
function wrongPrompt(given: unknown): string {
  const what = `A prompt is a text or a list of token ids, not ${shown(given)}`;
  const first: unknown = Array.isArray(given) ? given[0] : given;
  const has = (name: string) => typeof first === "object" && first !== null && name in first;
  if (isMessage(first) || has("messages")) {
    return `${what}. Messages are for chats: chat(messages) begins one, and reply(text) of it answers.`;
  }
  if (has("prompt")) return `${what}. The prompt comes first, and its options after it.`;
  if (Array.isArray(given) && (typeof first === "string" || Array.isArray(first))) {
    return `${what}. Give one prompt a call; calls that are not awaited in between run at once.`;
  }
  return `${what}.`;
}
