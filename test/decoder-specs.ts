/**
 * Small decoders, each with what makes a family of models its own, and random ones with all of it in any combination.
 * Between them they have every field of a `DecoderSpec` in every state.
 */
import fc from "fast-check";
import { ACTIVATIONS } from "../src/kernels/kernels.js";
import type {
  AttentionSpec,
  DecoderSpec,
  LayerSpec,
  MlpSpec,
  NormSpec,
  RotationSpec,
} from "../src/model/decoder-spec.js";

const { fround } = Math;

const RMS: NormSpec = { kind: "rms", epsilon: 1e-6 };
const LAYER_NORM: NormSpec = { kind: "layer", epsilon: 1e-5 };

/** Rotary positions of the first `2 · pairs` values of a head. */
function rotation(base: number, pairs: number, factor = 1): RotationSpec {
  const frequencies = Array.from({ length: pairs }, (_, i) => fround(base ** (-i / pairs)));
  return { frequencies, factor: fround(factor) };
}

const ATTENTION: AttentionSpec = {
  ...{ norm: RMS, normAfter: null, qkNorm: null, rotation: 0, window: null, softcap: null },
  ...{ numHeads: 4, numKvHeads: 2, headDim: 6, scale: fround(6 ** -0.5), bias: { qkv: false, o: false } },
};
const MLP: MlpSpec = {
  ...{ norm: RMS, normAfter: null, innerSize: 20, activation: "silu", gated: true, bias: false },
};

interface Changes {
  readonly attention?: Partial<AttentionSpec>;
  readonly mlp?: Partial<MlpSpec>;
  readonly layer?: Partial<Pick<LayerSpec, "residual" | "residualScale">>;
}

function layer({ attention, mlp, layer }: Changes = {}): LayerSpec {
  return {
    attention: { ...ATTENTION, ...attention },
    mlp: { ...MLP, ...mlp },
    ...{ residual: "serial", residualScale: 1, ...layer },
  };
}

function decoder(layers: readonly Changes[], changes: Partial<DecoderSpec> = {}): DecoderSpec {
  return {
    ...{ hiddenSize: 18, vocabSize: 32, contextLength: 96, embeddingScale: 1, learnedPositions: 0 },
    ...{ rotations: [rotation(10_000, 3)], layers: layers.map(layer), finalNorm: RMS, logitScale: 1 },
    ...{ logitSoftcap: null, tied: true },
    ...changes,
  };
}

const learned = { rotations: [], learnedPositions: 96, finalNorm: LAYER_NORM };
const gpt2 = {
  attention: { norm: LAYER_NORM, rotation: null, numKvHeads: 4, bias: { qkv: true, o: true } },
  mlp: { norm: LAYER_NORM, activation: "gelu_new", gated: false, bias: true },
} satisfies Changes;
const gptNeo = { ...gpt2, attention: { ...gpt2.attention, scale: 1, bias: { qkv: false, o: true } } };
const gptNeox: Changes = {
  attention: { ...gpt2.attention, rotation: 0 },
  mlp: { ...gpt2.mlp, activation: "gelu" },
  layer: { residual: "parallel" },
};
const gemma: Changes = {
  attention: { normAfter: RMS, qkNorm: { over: "head", norm: RMS }, softcap: 3 },
  mlp: { normAfter: RMS, activation: "gelu_pytorch_tanh" },
};

/** What is special of each family, as it is there. */
export const FAMILY_SPECS = {
  gpt2: decoder([gpt2, gpt2], learned),
  gptNeo: decoder([gptNeo, { ...gptNeo, attention: { ...gptNeo.attention, window: 17 } }], learned),
  /** A quarter of each head turns; one bias fewer would be StableLM. */
  gptNeox: decoder([gptNeox, gptNeox], {
    ...{ rotations: [rotation(10_000, 1)], finalNorm: LAYER_NORM, tied: false },
  }),
  stableLm: decoder(
    [1, 2].map(() => ({
      attention: { norm: LAYER_NORM, numKvHeads: 4, bias: { qkv: true, o: false } },
      ...{ mlp: { norm: null }, layer: { residual: "parallel" } },
    })),
    { finalNorm: LAYER_NORM, tied: false },
  ),
  llama: decoder([{}, {}], { tied: false }),
  mistral: decoder([{ attention: { window: 5 } }, { attention: { window: 5 } }]),
  qwen3: decoder(
    [1, 2].map(() => ({ attention: { bias: { qkv: true, o: false }, qkNorm: { over: "head", norm: RMS } } })),
  ),
  /** Every other layer without rotation. */
  smolLm3: decoder([{}, { attention: { rotation: null } }, {}]),
  /** Windows with a rotation of their own. */
  gemma3: decoder(
    [
      { ...gemma, attention: { ...gemma.attention, window: 16, rotation: 1 } },
      { ...gemma, attention: { ...gemma.attention, window: 15, rotation: 1 } },
      gemma,
    ],
    {
      ...{ rotations: [rotation(1_000_000, 3), rotation(10_000, 3)], embeddingScale: fround(Math.sqrt(18)) },
      ...{ logitSoftcap: 30 },
    },
  ),
  /** One head of keys and values for all; most of the head turns, more than once around. */
  phi3: decoder(
    [1, 2].map(() => ({ attention: { numKvHeads: 1, window: 33 } })),
    {
      rotations: [rotation(10_000, 2, 1.19)],
    },
  ),
  granite: decoder(
    [1, 2].map(() => ({ layer: { residualScale: fround(0.22) } })),
    {
      ...{ embeddingScale: 12, logitScale: fround(1 / 8) },
    },
  ),
  olmo2: decoder(
    [1, 2].map(() => ({
      attention: { norm: null, normAfter: RMS, qkNorm: { over: "row", norm: RMS } },
      mlp: { norm: null, normAfter: RMS },
    })),
  ),
} as const satisfies Readonly<Record<string, DecoderSpec>>;

export type FamilySpecName = keyof typeof FAMILY_SPECS;
export const familySpecNames = Object.keys(FAMILY_SPECS) as readonly FamilySpecName[];

const epsilons = fc.constantFrom(1e-6, 1e-5, 1e-3, 0.5);
const norms: fc.Arbitrary<NormSpec> = fc.record({ kind: fc.constantFrom("layer", "rms"), epsilon: epsilons });
const rmsNorms: fc.Arbitrary<NormSpec> = fc.record({ kind: fc.constant("rms"), epsilon: epsilons });
const optional = <T>(values: fc.Arbitrary<T>) => fc.option(values, { nil: null });
const factors = fc.constantFrom(1, fround(0.22), 3);

/** Any decoder, of small sizes that are multiples of nothing much. */
export const decoderSpecs: fc.Arbitrary<DecoderSpec> = fc
  .record({
    hiddenSize: fc.integer({ min: 2, max: 21 }),
    vocabSize: fc.integer({ min: 1, max: 40 }),
    contextLength: fc.integer({ min: 1, max: 40 }),
    innerSize: fc.integer({ min: 1, max: 21 }),
    headDim: fc.integer({ min: 2, max: 9 }),
    numKvHeads: fc.integer({ min: 1, max: 3 }),
    groupSize: fc.integer({ min: 1, max: 6 }),
    gated: fc.boolean(),
    positions: fc.boolean(),
    pairs: fc.array(fc.nat({ max: 4 }), { maxLength: 2 }),
    ...{ embeddingScale: factors, logitScale: factors, factor: fc.constantFrom(1, 1.19) },
    ...{ logitSoftcap: optional(fc.constantFrom(2, 30)), finalNorm: norms, tied: fc.boolean() },
  })
  .chain(({ headDim, numKvHeads, groupSize, innerSize, gated, pairs, factor, positions, ...rest }) => {
    const rotations = pairs.map((count, i) =>
      rotation(10_000 * (i + 1), 1 + (count % Math.floor(headDim / 2)), factor),
    );
    const attention: fc.Arbitrary<AttentionSpec> = fc.record({
      ...{ norm: optional(norms), normAfter: optional(norms) },
      ...{ numHeads: fc.constant(numKvHeads * groupSize), numKvHeads: fc.constant(numKvHeads) },
      ...{ headDim: fc.constant(headDim), scale: fc.constantFrom(1, fround(headDim ** -0.5)) },
      bias: fc.record({ qkv: fc.boolean(), o: fc.boolean() }),
      qkNorm: optional(fc.record({ over: fc.constantFrom("head", "row"), norm: rmsNorms })),
      rotation: optional(fc.nat({ max: 1 })).map((i) => (i === null || i >= rotations.length ? null : i)),
      window: optional(fc.integer({ min: 1, max: 20 })),
      softcap: optional(fc.constantFrom(1, 20)),
    });
    const mlp: fc.Arbitrary<MlpSpec> = fc.record({
      ...{ norm: optional(norms), normAfter: optional(norms), innerSize: fc.constant(innerSize) },
      ...{ activation: fc.constantFrom(...ACTIVATIONS), gated: fc.constant(gated), bias: fc.boolean() },
    });
    const layers = fc.array(
      fc.record({
        ...{ attention, mlp, residual: fc.constantFrom("serial", "parallel"), residualScale: factors },
      }),
      { minLength: 1, maxLength: 3 },
    );
    const learnedPositions = positions ? rest.contextLength + 2 : 0;
    return layers.map((made) => ({ ...rest, rotations, learnedPositions, layers: made }));
  });
