/**
 * What the names of GGUF files say: which files are the shards of one model, how a model is quantised, and which of
 * several models is meant. Knows names and sizes, and nothing of what is in a file.
 */
import { type ErrorCode, LastrowError } from "../errors.js";
import { formatMemorySize } from "../memory-size.js";
import { quoteValue } from "../quote-value.js";
import type { ModelFiles } from "./model-files.js";
import { WEIGHTS, WEIGHTS_INDEX } from "./shard-index.js";

/** A file where models are looked for. */
export interface ListedFile {
  /** Its path there, with `/` between folders. */
  readonly path: string;
  /** In bytes. */
  readonly size: number;
}

/** One model: a file, or all shards of one. */
export interface GgufModel {
  /** Paths of all its files in the order of the shards, whether they are there or not. */
  readonly paths: readonly string[];
  /** How it is quantised, in capitals: `Q4_K_M`, `BF16`, `UD-Q4_K_XL`; null when its name does not say. */
  readonly tag: string | null;
  /** Size in bytes of the files that are there. */
  readonly bytes: number;
}

/** What is taken where no file is named: the first of these that there is. */
export const PREFERRED_TAGS = [
  ...["Q4_K_M", "Q4_K_S", "Q5_K_M", "Q4_0", "IQ4_NL", "Q5_K_S", "Q6_K", "Q8_0", "BF16", "F16"],
] as const;

const SHARD = /^(?<stem>.*)-(?<index>\d{5})-of-(?<count>\d{5})(?<end>\.gguf)$/i;
/** A name that speaks of more shards is taken for an ordinary one. */
const MAX_SHARDS = 1000;
/** `Q4_K_M`, `IQ4_NL`, `BF16`, `UD-Q4_K_XL` as a word of a name: between dots, dashes, underscores and slashes. */
const TAG =
  /(?<=^|[-._ ])(?:UD-)?(?:[IT]?Q\d(?:_[0-9A-Z]+)*|MXFP4(?:_[0-9A-Z]+)*|BF16|FP?16|FP?32)(?=$|[-._ ])/g;
/** Projectors of images and sounds, and what quantisers note of a model, are stored in the same format. */
const PROJECTOR = /mmproj/i;
const IMPORTANCE_MATRIX = /imatrix/i;
/** So many models are listed in a message. */
const MAX_LISTED = 30;

export function isGgufName(name: string): boolean {
  return /\.gguf$/i.test(name);
}

/** The names of all shards of a model of which `name` is one, in order; `name` alone where it is none. */
export function shardsOf(name: string): readonly string[] {
  const { stem, index, count, end } = SHARD.exec(name)?.groups ?? {};
  const shards = Number(count);
  if (stem === undefined || Number(index) < 1 || Number(index) > shards || shards > MAX_SHARDS) return [name];
  return Array.from({ length: shards }, (_, i) => {
    return `${stem}-${String(i + 1).padStart(5, "0")}-of-${count}${end}`;
  });
}

/** The models among some files, in the order of their paths. Vision projectors and the like are none. */
export function ggufModels(files: readonly ListedFile[]): GgufModel[] {
  const sizes = new Map(files.map(({ path, size }) => [path, size]));
  const models = new Map<string, GgufModel>();
  for (const path of [...sizes.keys()].filter(isGgufName).sort()) {
    const paths = shardsOf(path);
    const tag = tagOf(path);
    const name = path.slice(path.lastIndexOf("/") + 1);
    if (PROJECTOR.test(name) || (tag === null && IMPORTANCE_MATRIX.test(name))) continue;
    const bytes = paths.reduce((sum, shard) => sum + (sizes.get(shard) ?? 0), 0);
    models.set(paths[0], { paths, tag, bytes });
  }
  return [...models.values()];
}

/** What a path says of quantisation: its file's last word of that kind, else its folder's. */
function tagOf(path: string): string | null {
  const stem = stemOf(path);
  const folders = stem.split("/");
  for (const part of folders.reverse()) {
    const tags = part.toUpperCase().match(TAG);
    if (tags !== null) return tags.at(-1)!.replace(/FP(?=16$|32$)/, "F");
  }
  return null;
}

/** A path in capitals, without the shard's number and the ending. */
function stemOf(path: string): string {
  return (SHARD.exec(path)?.groups?.stem ?? path.replace(/\.gguf$/i, "")).toUpperCase();
}

/** How a choice among models that cannot be made is told. */
export interface ChoiceWords {
  /** Where the files are, as messages name it. */
  readonly label: string;
  /** The code where no model fits. */
  readonly notFound: ErrorCode;
  /** What to do, at the end of a sentence, where `example` is one of those listed: `give the path of one of them`. */
  readonly remedy: (example: GgufModel) => string;
}

/**
 * The model that is meant.
 * @param tag how it is to be quantised, in any case; null: the first of `PREFERRED_TAGS` that there is, or the only
 *   model that there is at all
 * @throws LastrowError `invalid_argument` when several fit, `words.notFound` when none does; both list what there is
 */
export function chooseGguf(models: readonly GgufModel[], tag: string | null, words: ChoiceWords): GgufModel {
  const fitting = tag === null ? preferred(models) : tagged(models, tag);
  const [model] = fitting;
  if (fitting.length === 1) return model;
  const { label, notFound, remedy } = words;
  if (model === undefined) {
    const [example] = models;
    const missing = tag === null ? `none of ${PREFERRED_TAGS.join(", ")}` : `none of ${quoteValue(tag)}`;
    throw new LastrowError(
      notFound,
      example === undefined
        ? `${label} has no GGUF file of a language model.`
        : `${label} has GGUF files, but ${missing}: ${listed(models)}; ${remedy(example)}.`,
    );
  }
  throw new LastrowError(
    "invalid_argument",
    `${label} has ${fitting.length} GGUF models ${model.tag === null ? "" : `of ${model.tag}, `}of which one must be chosen: ${listed(fitting)}; ${remedy(model)}.`,
  );
}

function preferred(models: readonly GgufModel[]): readonly GgufModel[] {
  for (const tag of PREFERRED_TAGS) {
    const fitting = models.filter((model) => model.tag === tag);
    if (fitting.length > 0) return fitting;
  }
  return models.length === 1 ? models : [];
}

/** The models of a tag; without any, those whose tag or name ends with it: `Q4_K_XL` finds `UD-Q4_K_XL`. */
function tagged(models: readonly GgufModel[], asked: string): readonly GgufModel[] {
  const tag = asked.toUpperCase().replace(/^FP(?=16$|32$)/, "F");
  const exact = models.filter((model) => model.tag === tag);
  if (exact.length > 0) return exact;
  return models.filter(({ paths: [path] }) => {
    const stem = stemOf(path);
    return stem.endsWith(tag) && /^$|[-._/ ]$/.test(stem.slice(0, -tag.length));
  });
}

function listed(models: readonly GgufModel[]): string {
  const shown = models.slice(0, MAX_LISTED).map(nameAndSize);
  if (models.length > MAX_LISTED) shown.push(`and ${models.length - MAX_LISTED} more`);
  return shown.join(", ");
}

function nameAndSize({ paths, bytes }: GgufModel): string {
  const [path] = paths;
  const name = /^[!-~]+$/.test(path) ? path : quoteValue(path);
  const files = paths.length === 1 ? "" : `${paths.length} files, `;
  return `${name} (${files}${formatMemorySize(bytes)})`;
}

/** What to tell of a model that was chosen though there are others; nothing where there are none. */
export function choiceNotices(
  chosen: GgufModel,
  models: readonly GgufModel[],
  remedy: string,
): readonly string[] {
  if (models.length <= 1) return [];
  return [`${nameAndSize(chosen)} was taken of ${models.length} GGUF models; for another ${remedy}.`];
}

/** Whether a folder with these files holds a model in the form of Hugging Face's transformers. */
export function isSafetensorsFolder(names: ReadonlySet<string>): boolean {
  return names.has("config.json") && (names.has(WEIGHTS) || names.has(WEIGHTS_INDEX));
}

/**
 * What holds the model in a folder with these files: the GGUF files, unless it holds one in another form, or nothing.
 * @param remedy what a person does who wants another model: `give the path of that file`
 * @throws LastrowError `invalid_argument`, `model_not_found` as `chooseGguf`
 */
export function ggufOfFolder(
  files: readonly ListedFile[],
  label: string,
  remedy: string,
): Pick<ModelFiles, "gguf" | "notices"> {
  const names = new Set(files.map(({ path }) => path));
  if (isSafetensorsFolder(names)) return {};
  const models = ggufModels(files);
  if (models.length === 0) return {};
  const chosen = chooseGguf(models, null, { label, notFound: "model_not_found", remedy: () => remedy });
  return { gguf: chosen.paths, notices: choiceNotices(chosen, models, remedy) };
}
