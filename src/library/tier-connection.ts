/** How a loaded engine is connected to a KV tier, and what it tells of itself for that. */
import type { EngineClient } from "../client/engine-client.js";
import { LastrowError } from "../errors.js";
import { BLOCK_SIZE, layerGroups } from "../kernels/kv-layout.js";
import { KV_TYPES } from "../kernels/kv-types.js";
import { WEIGHT_TYPES } from "../kernels/weight-types.js";
import { type DecoderSpec, kvShapeOf } from "../model/decoder-spec.js";
import type { Platform } from "../platform/platform.js";
import type { EngineInfo } from "../protocol/engine-setup.js";
import type { KvTier, TierConnection } from "../protocol/kv-tier.js";
import { numericsVersion, type SequenceIdentity } from "../saved-sequence/saved-metadata.js";

/** Tokens of the probe, at most: a full block, and rows behind it that see both blocks. More would be felt when a model is loaded. */
const PROBE_TOKENS = 24;
/** Ids of the probe are far apart, and differ. */
const PROBE_STEP = 40_503;
const PROBE_FIRST = 7;

export interface ConnectedTier {
  /** Null: the model has none. */
  readonly connection: TierConnection | null;
  /** Why, where one was asked for. */
  readonly notices: readonly string[];
}

interface TieredModel {
  readonly engine: EngineClient;
  readonly info: EngineInfo;
  readonly decoder: DecoderSpec;
  readonly identity: SequenceIdentity;
}

/**
 * Connects an engine that is loaded and has nothing to do yet.
 * @throws what the tier throws; what ends the engine
 */
export async function connectTier(
  tier: KvTier,
  { engine, info, decoder, identity }: TieredModel,
  sha256: Platform["sha256"],
): Promise<ConnectedTier> {
  const probe = await probeOf(engine, info, decoder.vocabSize);
  if (probe === null) {
    const notice =
      "The KV tier is not in use: a few tokens give numbers that overflow, so that nothing tells this engine's bits from another's.";
    return { connection: null, notices: [notice] };
  }
  const { fingerprint, dtypes, kvDtype, rotaryTable } = identity;
  const weights = dtypes.map((dtype) => WEIGHT_TYPES[dtype].numericsVersion);
  const connection = await tier.connect({
    ...{ fingerprint, dtypes, kvDtype, rotaryTable },
    numerics: numericsVersion(weights, KV_TYPES[kvDtype].numericsVersion),
    blockSize: BLOCK_SIZE,
    blockBytes: info.kv.blockBytes,
    groups: layerGroups(kvShapeOf(decoder)),
    probe: await sha256([probe]),
  });
  engine.connectTier(connection.port, connection.policy);
  return { connection, notices: [] };
}

/** What the engine computes of a fixed input; null when that overflows. */
async function probeOf(
  engine: EngineClient,
  { contextLength, kv }: EngineInfo,
  vocabSize: number,
): Promise<Uint8Array<ArrayBuffer> | null> {
  const length = Math.min(PROBE_TOKENS, contextLength, kv.tokens);
  const tokens = Array.from({ length }, (_, i) => (PROBE_FIRST + i * PROBE_STEP) % vocabSize);
  try {
    return await engine.probe(tokens);
  } catch (error) {
    if (error instanceof LastrowError && error.code === "numerical_error") return null;
    throw error;
  }
}
