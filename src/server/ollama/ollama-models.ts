/** Served models as Ollama's API names and describes them: a name has a tag behind a colon, `latest` where it has none. */
import { createHash } from "node:crypto";
import type { Exchange } from "../exchange.js";
import type { ModelService } from "../model-service.js";
import type { OllamaDetails } from "../schemas/ollama-models.js";
import type { AboutModel, ListedModel, ServedModels } from "../served-models.js";
import type { Service } from "../service.js";

const LATEST = ":latest";
/** Go's last year that JSON can hold: what never ends, ends then. */
const NEVER = "9999-12-31T23:59:59Z";

/** What Ollama's clients call a model. A colon before a slash is no tag's. */
export function ollamaName(id: string): string {
  return id.slice(id.lastIndexOf("/") + 1).includes(":") ? id : id + LATEST;
}

/** The id of the model that a name means: the one that is called so, or is so without the tag. */
export function servedId(name: string, ids: readonly string[]): string {
  if (ids.includes(name) || !name.endsWith(LATEST)) return name;
  return name.slice(0, -LATEST.length);
}

/** The model that a name means, loaded or not. @throws ApiError as `ServedModels.find` */
export function namedModel({ models }: Pick<Service, "models">, name: string): ListedModel {
  return models.find(servedId(name, idsOf(models)));
}

/**
 * The model that a request names, and how long it took to have it.
 * @throws ApiError as `Service.model`
 */
export async function askedModel(
  { models, model }: Pick<Service, "models" | "model">,
  name: string,
  exchange: Exchange,
): Promise<{ readonly model: ModelService; readonly loadMs: number }> {
  const start = performance.now();
  const id = servedId(name, idsOf(models));
  return { model: await model(id, exchange), loadMs: performance.now() - start };
}

function idsOf(models: ServedModels): string[] {
  return models.listed.map(({ id }) => id);
}

export function ollamaTags({ models }: Service) {
  return models.listed.map(({ id, created, about }) => ({
    ...identityOf(id),
    modified_at: timeOf(created),
    size: about.files.reduce((sum, { bytes }) => sum + bytes, 0),
    details: detailsOf(about),
  }));
}

/** With keys it is not said when a model will be unloaded: that would tell when others used it. */
export function ollamaRunning({ models, keys }: Service) {
  return models.loaded.map(({ served: { id, info } }) => ({
    ...identityOf(id),
    size: info.memoryBytes,
    details: detailsOf(info),
    expires_at: expiry(keys.areRequired ? null : models.unloadsAt(id)),
    size_vram: 0,
    context_length: info.config.contextLength,
  }));
}

export function ollamaShown({ id, created, contextLength, about }: ListedModel) {
  const { config, parameters } = about;
  const architecture = config.modelType;
  return {
    modelfile: `FROM ${id}\n`,
    parameters: `num_ctx ${contextLength}`,
    template: "",
    details: detailsOf(about),
    model_info: {
      "general.architecture": architecture,
      "general.basename": id,
      "general.parameter_count": parameters,
      [`${architecture}.context_length`]: contextLength,
      [`${architecture}.embedding_length`]: config.hiddenSize,
      [`${architecture}.block_count`]: config.numLayers,
      [`${architecture}.feed_forward_length`]: config.innerSize,
      [`${architecture}.attention.head_count`]: config.numHeads,
      [`${architecture}.attention.head_count_kv`]: config.numKvHeads,
      [`${architecture}.attention.key_length`]: config.headDim,
      [`${architecture}.vocab_size`]: config.vocabSize,
    },
    capabilities: capabilitiesOf(about),
    modified_at: timeOf(created),
  };
}

type Capability = "completion" | "tools" | "insert" | "thinking" | "embedding";

/** Of a model that was made for vectors, only that, as Ollama has it. */
function capabilitiesOf({ embedding, abilities, infills }: AboutModel): Capability[] {
  if (embedding.pooling !== null && embedding.refused === null) return ["embedding"];
  return [
    "completion",
    ...(abilities !== null && abilities.callFormat !== null ? (["tools"] as const) : []),
    ...(infills ? (["insert"] as const) : []),
    ...(abilities?.thinks === true ? (["thinking"] as const) : []),
  ];
}

function identityOf(id: string) {
  const name = ollamaName(id);
  return { name, model: name, digest: createHash("sha256").update(id).digest("hex") };
}

function detailsOf({
  config,
  parameters,
  files,
  dtype,
}: Omit<AboutModel, "abilities" | "infills">): OllamaDetails {
  const isGguf = files.some(({ name }) => name.toLowerCase().endsWith(".gguf"));
  return {
    parent_model: "",
    format: isGguf ? "gguf" : "safetensors",
    family: config.modelType,
    families: [config.modelType],
    parameter_size: shortCount(parameters),
    quantization_level: dtype.toUpperCase(),
  };
}

/** `3.2M`, `7.6B` */
export function shortCount(count: number): string {
  for (const [unit, letter] of [
    [1e9, "B"],
    [1e6, "M"],
    [1e3, "K"],
  ] as const) {
    if (count >= unit) return `${(count / unit).toPrecision(count >= 100 * unit ? 3 : 2)}${letter}`;
  }
  return String(count);
}

function expiry(unloadsAt: number | null): string {
  return unloadsAt === null ? NEVER : new Date(unloadsAt).toISOString();
}

function timeOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
