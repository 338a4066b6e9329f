/** `--model` of `lastrow serve`: a model, with the name before it that clients call it. */
import { invalidArgument } from "../errors.js";
import type { ModelSource } from "../platform/platform.js";
import { quoteValue } from "../quote-value.js";
import { servedName } from "../server/served-name.js";

export interface NamedSource {
  /** Null: as the server calls it by itself. */
  readonly id: string | null;
  readonly source: string;
}

/** A path that has a = in it is written with ./ before it, or whole. */
const NAME = /^[\p{L}\p{N}][\p{L}\p{N}._-]*(?:[:/][\p{L}\p{N}._-]+)*=/u;

/** `chat=Qwen/Qwen3-0.6B` → chat, and where it is. */
export function namedSource(text: string): NamedSource {
  const name = NAME.exec(text)?.[0];
  if (name === undefined) return { id: null, source: text };
  return { id: name.slice(0, -1), source: text.slice(name.length) };
}

/**
 * The options of `createServer` for the models that were named.
 * @throws LastrowError `invalid_argument` when two have the same name, or one none
 */
export function modelsOf(
  given: readonly NamedSource[],
  servedModelName: string | undefined,
):
  | { readonly model: string | undefined; readonly servedModelName: string | undefined }
  | { readonly models: Readonly<Record<string, ModelSource>>; readonly servedModelName: string | undefined } {
  const empty = given.find(({ source }) => source === "");
  if (empty !== undefined) throw invalidArgument(`--model ${empty.id ?? ""}= has no model behind the name.`);
  if (given.length <= 1) {
    const [{ id, source } = { id: null, source: undefined }] = given;
    if (id !== null && servedModelName !== undefined) {
      throw invalidArgument("The model has two names: that of --model, and --served-model-name.");
    }
    return { model: source, servedModelName: id ?? servedModelName };
  }
  const models = new Map<string, string>();
  for (const { id: asked, source } of given) {
    const id = asked ?? servedName(source);
    if (models.has(id)) {
      throw invalidArgument(
        `Two models are called ${quoteValue(id)}; give one another name, as in --model other=${source}.`,
      );
    }
    models.set(id, source);
  }
  return { models: Object.fromEntries(models), servedModelName };
}
