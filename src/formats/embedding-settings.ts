/**
 * What a model's files say of vectors of texts: sentence-transformers' `modules.json`, the settings of its modules and
 * `config_sentence_transformers.json`; of GGUF files, gguf/gguf-embedding.ts says it. Most models are not made for that, and their files say
 * nothing. What is wrong with these files concerns only those who ask for vectors, so it is told then.
 */
import * as v from "valibot";
import { LastrowError, modelFileInvalid } from "../errors.js";
import { quoteValue } from "../quote-value.js";
import { flag, readFields, text, wholeNumber } from "./config-fields.js";
import {
  type EmbeddingSettings,
  MODULES,
  NO_EMBEDDING,
  notPooled,
  type Pooling,
  RANKS,
} from "./embedding-types.js";
import { JSON_LIMITS, readJsonList, readJsonObject } from "./json-file.js";
import type { ModelFiles } from "./model-files.js";
import type { JsonObject } from "./strict-json.js";

export const PROMPTS = "config_sentence_transformers.json";

/** What the files of a folder say. Not thrown: what is wrong with them is `refused`. */
export async function readEmbeddingSettings(files: ModelFiles): Promise<EmbeddingSettings> {
  try {
    const modules = await readJsonList(files, MODULES, JSON_LIMITS.config);
    if (modules === null) return NO_EMBEDDING;
    return {
      ...NO_EMBEDDING,
      ...(await readModules(files, modules.json, modules.name)),
      ...(await readPrompts(files)),
    };
  } catch (error) {
    if (!(error instanceof LastrowError)) throw error;
    return { ...NO_EMBEDDING, refused: `is not embedded with, since ${error.message.replace(/\.$/, "")}` };
  }
}

type ModuleSettings = Partial<Pick<EmbeddingSettings, "pooling" | "refused" | "ranking">>;

/** The modules in their order: the model, what pools its rows or rates them, and perhaps what makes the length 1. */
async function readModules(
  files: ModelFiles,
  modules: readonly unknown[],
  fileName: string,
): Promise<ModuleSettings> {
  const kinds = modules.map((module) => {
    const { type, path } = readFields(MODULE, isObject(module) ? module : {}, fileName);
    return { type, path, kind: /^sentence_transformers\..*\b(\w+)$/.exec(type)?.[1] ?? null };
  });
  const [model, second, last, ...more] = kinds;
  if (model?.kind !== "Transformer" || model.path !== "")
    return { refused: otherModule(fileName, model?.type) };
  if (second?.kind === "LogitScore" && second.path === "1_LogitScore" && last === undefined) {
    const file = await readJsonObject(files, "1_LogitScore/config.json", JSON_LIMITS.config);
    const { true_token_id: yes, false_token_id: no } = readFields(
      LOGIT_SCORE,
      file?.json ?? {},
      file?.name ?? fileName,
    );
    return { refused: RANKS, ranking: { yes, no: no ?? null } };
  }
  const other =
    second?.kind !== "Pooling" || second.path !== "1_Pooling"
      ? second
      : last !== undefined && last.kind !== "Normalize"
        ? last
        : more[0];
  if (second === undefined || other !== undefined) return { refused: otherModule(fileName, other?.type) };
  const file = await readJsonObject(files, "1_Pooling/config.json", JSON_LIMITS.config);
  return file === null
    ? { refused: "has no 1_Pooling/config.json, which its modules.json names" }
    : poolingIn(file.json, file.name);
}

function otherModule(fileName: string, type: string | undefined): string {
  const found = type === undefined ? "too few modules" : `module ${quoteValue(type)}`;
  return `has in ${fileName} ${found}; what is run is Transformer, Pooling in 1_Pooling and perhaps Normalize`;
}

const MODULE = v.object({ type: text(), path: v.optional(text(), "") });
const LOGIT_SCORE = v.object({
  true_token_id: wholeNumber(0, 2 ** 31 - 1),
  false_token_id: v.nullish(wholeNumber(0, 2 ** 31 - 1)),
});

/** Flags of earlier versions of sentence-transformers, one for each mode. */
const MODE_FLAG = /^pooling_mode_(\w+)$/;
const POOLINGS: ReadonlyMap<string, Pooling> = new Map([
  ["lasttoken", "last"],
  ["mean", "mean"],
  ["mean_tokens", "mean"],
]);

function poolingIn(json: JsonObject, fileName: string): ModuleSettings {
  const { pooling_mode, include_prompt } = readFields(POOLING, json, fileName);
  const modes =
    pooling_mode !== undefined
      ? [pooling_mode].flat()
      : Object.keys(json).flatMap((field) =>
          json[field] === true ? (MODE_FLAG.exec(field)?.[1] ?? []) : [],
        );
  const [mode = "none"] = modes;
  const pooling = POOLINGS.get(mode);
  if (modes.length !== 1 || pooling === undefined) {
    return {
      refused: notPooled(
        `${fileName} with pooling ${modes.map((name) => quoteValue(name)).join(" and ") || "of no kind"}`,
      ),
    };
  }
  if (pooling === "mean" && !include_prompt) {
    return {
      refused: `has ${fileName} with include_prompt false, which is not run: the mean is over all tokens`,
    };
  }
  return { pooling };
}

const POOLING = v.object({
  pooling_mode: v.optional(v.union([text(), v.array(text())], "a text, or a list of them")),
  include_prompt: v.optional(flag(), true),
});

async function readPrompts(files: ModelFiles): Promise<Pick<EmbeddingSettings, "prompts" | "defaultPrompt">> {
  const file = await readJsonObject(files, PROMPTS, JSON_LIMITS.config);
  if (file === null) return { prompts: {}, defaultPrompt: null };
  const { prompts, default_prompt_name: defaultPrompt = null } = readFields(
    PROMPT_FIELDS,
    file.json,
    file.name,
  );
  if (defaultPrompt !== null && !Object.hasOwn(prompts, defaultPrompt)) {
    throw modelFileInvalid(
      `${file.name}: default_prompt_name is ${quoteValue(defaultPrompt)}, but must be one of its prompts.`,
    );
  }
  return { prompts: { ...prompts }, defaultPrompt };
}

const PROMPT_FIELDS = v.object({
  prompts: v.optional(v.record(v.string(), text(), "an object of texts"), {}),
  default_prompt_name: v.nullish(text()),
});

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
