/**
 * What a saved sequence says about itself, as the text of safetensors' `__metadata__`, and the checks on it.
 *
 * `metadata_sha256` covers all other fields, and these the blocks' checksums: whatever is changed in a file is noticed.
 * A checksum does not prove where a file comes from, though: anyone can compute it. `hmac_sha256` can only be made with the
 * installation's key; it covers `metadata_sha256` and the salt of the sequence, which is not in the file.
 */
import { savedSequenceInvalid, savedSequenceMismatch } from "../errors.js";
import { KV_TYPES, type KvDtype } from "../kernels/kv-types.js";
import { type PackedDtype, WEIGHT_TYPES } from "../kernels/weight-types.js";
import { equalDigests } from "../platform/digests.js";
import { hmacSha256, sha256OfTextHere } from "../platform/digests-here.js";
import { quoteValue } from "../quote-value.js";

const FORMAT = "lastrow.sequence";
/** Of files whose layers have all positions, and of those where layers with a window have the last ones only. */
const VERSIONS = { all: "1", kept: "2" } as const;

/** What K and V depend on, besides tokens and numerics: files of another identity are refused. */
export interface SequenceIdentity {
  /** The model's fingerprint: see model-fingerprint.ts. */
  readonly fingerprint: string;
  /** What earlier versions may have called the model. */
  readonly earlierFingerprints: readonly string[];
  /**
   * Types of the matrices, which decide how they are computed with: `f32` stands for all whose weights in memory are stored
   * floats, in whatever type; of others, their own. In the order of their names.
   */
  readonly dtypes: readonly PackedDtype[];
  readonly kvDtype: KvDtype;
  /** Which of its tables of rotary frequencies the model is loaded with; null where it has one: then files say nothing. */
  readonly rotaryTable: "short" | "long" | null;
}

/** What is kept of a sequence besides K and V. */
export interface SavedContents {
  readonly tokens: readonly number[];
  /** SHA-256 of each block's rows. */
  readonly blockDigests: readonly string[];
  /** Whether every layer has the rows of all positions. */
  readonly hasAll: boolean;
}

/** The key that signs, and the salt that it signs for. */
export interface Signature {
  readonly installationKey: Uint8Array;
  readonly salt: string;
}

/** Read and checked, but for the signature. */
export interface CheckedMetadata extends SavedContents {
  /** Whether it was saved by this installation, from a sequence with this salt. */
  isSignedBy(signature: Signature): boolean;
}

/** What the reader expects. */
export interface ExpectedMetadata {
  readonly fileName: string;
  readonly identity: SequenceIdentity;
  readonly vocabSize: number;
  /** The length that the model is loaded with. */
  readonly contextLength: number;
  /** The length that it was made for. */
  readonly maxContextLength: number;
}

/** The fields of a file, in the order of the file. @param signature null: without an HMAC */
export function savedMetadata(
  identity: SequenceIdentity,
  { tokens, blockDigests, hasAll }: SavedContents,
  signature: Signature | null,
): Record<string, string> {
  const fields = {
    format: FORMAT,
    format_version: hasAll ? VERSIONS.all : VERSIONS.kept,
    ...identityFields(identity),
    token_ids: tokens.join(","),
    block_sha256: blockDigests.join(","),
  };
  const digest = digestOf(fields);
  return {
    ...fields,
    metadata_sha256: digest,
    ...(signature !== null && { hmac_sha256: hmacOf(digest, signature) }),
  };
}

/**
 * @throws LastrowError `saved_sequence_invalid` when it is not a saved sequence or was changed, `saved_sequence_mismatch`
 *   when it belongs to another model, dtype, KV type, or version of the format or the numerics
 */
export function checkMetadata(
  metadata: ReadonlyMap<string, string>,
  expected: ExpectedMetadata,
): CheckedMetadata {
  const { fileName } = expected;
  if (metadata.get("format") !== FORMAT) {
    throw savedSequenceInvalid(
      `${fileName} is a safetensors file, but not a saved sequence: it does not say format ${FORMAT}.`,
    );
  }
  const version = field(metadata, "format_version", fileName);
  if (version !== VERSIONS.all && version !== VERSIONS.kept) {
    throw savedSequenceMismatch(
      `${fileName} has version ${quoteValue(version)} of the format, and this version of lastrow reads ${VERSIONS.all} and ${VERSIONS.kept}.`,
    );
  }
  const fields: Record<string, string> = Object.fromEntries(
    COVERED_FIELDS.map((name) => [name, field(metadata, name, fileName)]),
  );
  const rotaryTable = metadata.get(ROTARY_TABLE);
  if (rotaryTable !== undefined) fields[ROTARY_TABLE] = rotaryTable;
  const digest = field(metadata, "metadata_sha256", fileName);
  if (digest !== digestOf(fields)) {
    throw savedSequenceInvalid(
      `${fileName} is damaged: its metadata do not have the SHA-256 that they state.`,
    );
  }
  expectIdentity(fields, expected);
  const { token_ids, block_sha256 } = fields as Record<(typeof COVERED_FIELDS)[number], string>;
  const tokens = readTokens(token_ids, expected);
  const blockDigests = block_sha256.split(",");
  const hmac = metadata.get("hmac_sha256");
  return {
    tokens,
    blockDigests,
    hasAll: version === VERSIONS.all,
    isSignedBy: (signature) => hmac !== undefined && equalDigests(hmac, hmacOf(digest, signature)),
  };
}

/** Most bytes that the header of a file can have, written by us or written again by others with more space. */
export function maxHeaderBytes(limits: { readonly tensors: number; readonly maxTokens: number }): number {
  // A token id has at most 10 digits; 16 of them share 64 digits of a checksum.
  return 16384 + 512 * limits.tensors + 32 * limits.maxTokens;
}

function identityFields({ fingerprint, dtypes, kvDtype, rotaryTable }: SequenceIdentity) {
  const versions = dtypes.map((dtype) => WEIGHT_TYPES[dtype].numericsVersion);
  const version = numericsVersion(versions, KV_TYPES[kvDtype].numericsVersion);
  return {
    ...{ fingerprint, dtype: dtypes.join("+"), kv_dtype: kvDtype, numerics_version: version },
    ...(rotaryTable !== null && { [ROTARY_TABLE]: rotaryTable }),
  };
}

/** One number where all types of weights, and that of K and V, have the same version; otherwise all of them. */
export function numericsVersion(ofWeights: readonly number[], ofKv: number): string {
  return ofWeights.every((version) => version === ofKv) ? String(ofKv) : `${ofWeights.join("+")}/${ofKv}`;
}

/** Only where a model has two tables. */
const ROTARY_TABLE = "rotary_table";

/** What `metadata_sha256` covers, in this order, and after them the table, where it is stated. */
const COVERED_FIELDS = [
  "format",
  "format_version",
  "fingerprint",
  "dtype",
  "kv_dtype",
  "numerics_version",
  "token_ids",
  "block_sha256",
] as const;

function digestOf(fields: Readonly<Record<string, string>>): string {
  const covered = fields[ROTARY_TABLE] === undefined ? COVERED_FIELDS : [...COVERED_FIELDS, ROTARY_TABLE];
  return sha256OfTextHere(covered.map((name) => `${name}=${fields[name]}\n`).join(""));
}

/** JSON, so that two different pairs never give the same text. */
function hmacOf(digest: string, { installationKey, salt }: Signature): string {
  return hmacSha256(installationKey, JSON.stringify([FORMAT, digest, salt]));
}

function expectIdentity(
  fields: Readonly<Record<string, string>>,
  { fileName, identity }: ExpectedMetadata,
): void {
  const what: Record<keyof ReturnType<typeof identityFields>, string> = {
    fingerprint: "another model: its fingerprint",
    dtype: "other weights: their dtype",
    kv_dtype: "another type of K and V: kvDtype",
    numerics_version: "another version of the numerics: it",
    rotary_table: "another table of rotary frequencies, which the context's length chooses: it",
  };
  for (const [name, value] of Object.entries(identityFields(identity))) {
    if (fields[name] === value) continue;
    if (name === "fingerprint" && identity.earlierFingerprints.includes(fields[name])) continue;
    const saved = quoteValue(fields[name]);
    throw savedSequenceMismatch(
      `${fileName} was saved with ${what[name as keyof typeof what]} is ${saved}, here it is ${quoteValue(value)}.`,
    );
  }
}

function readTokens(text: string, expected: ExpectedMetadata): number[] {
  const { fileName, vocabSize, contextLength, maxContextLength } = expected;
  const tokens = text.split(",").map((id) => (/^\d{1,10}$/.test(id) ? Number(id) : Number.NaN));
  if (tokens.length > maxContextLength) {
    throw savedSequenceInvalid(
      `${fileName} has ${tokens.length} tokens, and the model's context has ${maxContextLength}.`,
    );
  }
  if (tokens.length > contextLength) {
    throw savedSequenceMismatch(
      `${fileName} has ${tokens.length} tokens, and the model is loaded with a context of ${contextLength}: load it with a longer one.`,
    );
  }
  if (!tokens.every((id) => id < vocabSize)) {
    throw savedSequenceInvalid(
      `${fileName} has token_ids that are not numbers from 0 to ${vocabSize - 1} with commas between them.`,
    );
  }
  return tokens;
}

function field(metadata: ReadonlyMap<string, string>, name: string, fileName: string): string {
  const value = metadata.get(name);
  if (value === undefined)
    throw savedSequenceInvalid(`${fileName} is damaged: its metadata have no ${name}.`);
  return value;
}
