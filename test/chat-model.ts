/** A random model that has the embedded model's tokenizer with special tokens of one's own, and a chat template. */
import { readFileSync } from "node:fs";
import { randomFamilyFiles, randomModelFiles } from "./random-model.js";

/** Tokens of the embedded model's tokenizer; added ones come behind them. */
const FIRST_ADDED = 2048;

export interface ChatModel {
  readonly template: string;
  /** Special tokens, by their ids from 2048 on. */
  readonly specials: readonly string[];
  /** Added tokens that are text, behind the special ones. */
  readonly added?: readonly string[];
  readonly tokenizerConfig?: object;
  readonly generation?: object;
  readonly contextLength?: number;
  /** A config.json of another family than GPT-2, without its vocabulary and its context. */
  readonly config?: Readonly<Record<string, unknown>>;
}

export interface ChatModelFiles {
  readonly files: Record<string, Uint8Array>;
  /** Id of an added token. */
  readonly idOf: (token: string) => number;
}

export function publishedTemplate(name: string): string {
  return readFileSync(new URL(`./fixtures/chat-templates/${name}.jinja`, import.meta.url), "utf8");
}

export function chatModelFiles(model: ChatModel): ChatModelFiles {
  const {
    template,
    specials,
    added = [],
    tokenizerConfig = {},
    generation,
    contextLength = 512,
    config,
  } = model;
  const json = JSON.parse(readFileSync(new URL("../models/stories/tokenizer.json", import.meta.url), "utf8"));
  const tokens = [...specials, ...added];
  const flags = { normalized: false, single_word: false, lstrip: false, rstrip: false };
  json.added_tokens.push(
    ...tokens.map((content, i) => ({ id: FIRST_ADDED + i, content, special: i < specials.length, ...flags })),
  );
  const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const end = { eos_token_id: 0, bos_token_id: 0 };
  const vocab = FIRST_ADDED + tokens.length;
  const sizes = { vocab_size: vocab, max_position_embeddings: contextLength };
  return {
    files: {
      ...(config === undefined
        ? randomModelFiles({ vocab, context: contextLength, config: end })
        : randomFamilyFiles({ ...config, ...sizes, ...end })),
      "generation_config.json": text(generation ?? end),
      "tokenizer.json": text(json),
      "tokenizer_config.json": text({
        bos_token: "<|endoftext|>",
        eos_token: "<|endoftext|>",
        ...tokenizerConfig,
      }),
      "chat_template.jinja": new TextEncoder().encode(template),
    },
    idOf: (token) => FIRST_ADDED + tokens.indexOf(token),
  };
}
