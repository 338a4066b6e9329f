/** What a model's decoder is, in the lines that `lastrow inspect` prints. */
import type { ModelConfig } from "../model/config.js";
import type { AttentionSpec, DecoderSpec } from "../model/decoder-spec.js";
import { formatCount } from "./format.js";

/** Sizes; what layers are made of; what queries see. */
export function architectureWords(config: ModelConfig): string[] {
  const { modelType, numLayers, numHeads, numKvHeads, headDim, hiddenSize, innerSize, decoder } = config;
  const [{ mlp, residual }] = decoder.layers;
  const shared = numKvHeads === numHeads ? "" : ` (${numKvHeads} of K and V)`;
  return [
    `${modelType}: ${numLayers} layers, ${numHeads} heads of ${headDim}${shared}, width ${hiddenSize}, MLP ${innerSize}`,
    [
      mlp.gated ? `${config.activation}, gated` : config.activation,
      `${decoder.finalNorm.kind === "rms" ? "RMS" : "layer"} norm ε ${decoder.finalNorm.epsilon}`,
      ...(residual === "parallel" ? ["attention and MLP side by side"] : []),
      `output ${config.tieWordEmbeddings ? "tied to" : "apart from"} the embeddings`,
      ...unusualScales(config),
    ].join(", "),
    [...positionWords(config), ...windowWords(attentions(decoder))].join(", "),
  ];
}

/** The same for programs, beside the sizes. */
export function architectureObject({ decoder }: ModelConfig) {
  return {
    norm: decoder.finalNorm.kind,
    normEpsilon: decoder.finalNorm.epsilon,
    positions: decoder.learnedPositions > 0 ? "learned" : "rotary",
    windows: attentions(decoder).map(({ window }) => window),
  };
}

const attentions = ({ layers }: DecoderSpec) => layers.map(({ attention }) => attention);

function positionWords({ decoder, headDim, rotaryTable }: ModelConfig): string[] {
  if (decoder.learnedPositions > 0) return ["learned positions"];
  const [{ frequencies }] = decoder.rotations as [DecoderSpec["rotations"][number]];
  const turning = 2 * frequencies.length;
  const part = turning === headDim ? "" : ` in ${turning} of each head's ${headDim} values`;
  const table = rotaryTable === null ? "" : `, the table for ${rotaryTable} contexts`;
  const without = attentions(decoder).filter(({ rotation }) => rotation === null).length;
  const layers = without === 0 ? "" : `, none in ${without} of ${decoder.layers.length} layers`;
  return [`rotary positions${part}${table}${layers}`];
}

function windowWords(layers: readonly AttentionSpec[]): string[] {
  const windows = layers.flatMap(({ window }) => (window === null ? [] : [window]));
  return [...new Set(windows)].map((window) => {
    const count = windows.filter((one) => one === window).length;
    const where = count === layers.length ? "every layer" : `${count} of ${layers.length} layers`;
    return `a window of ${formatCount(window)} in ${where}`;
  });
}

/** Factors on attention's scores other than 1 / √headDim. */
function unusualScales({ decoder, headDim }: ModelConfig): string[] {
  const usual = Math.fround(1 / Math.sqrt(headDim));
  const scales = [...new Set(attentions(decoder).map(({ scale }) => scale))];
  if (scales.every((scale) => scale === usual)) return [];
  return [`attention scaled by ${scales.map((scale) => Number(scale.toPrecision(4))).join(", ")}`];
}
