/**
 * A sequence as the bytes of a safetensors file, a piece at a time. Twice through the rows: once for the checksums, which
 * the header states, and once for the data, tensor by tensor. So it needs the memory of some blocks and no seeking.
 */

import { sha256 } from "../formats/digests.js";
import { safetensorsHeader } from "../formats/safetensors-writer.js";
import { BLOCK_SIZE } from "../kernels/kv-layout.js";
import type { KvPart } from "../kernels/kv-rows.js";
import { type SavedKvShape, SavedLayout, type SavedTensor } from "./saved-layout.js";
import { type SequenceIdentity, type Signature, savedMetadata } from "./saved-metadata.js";

export interface SequenceToSave {
  readonly identity: SequenceIdentity;
  readonly kv: SavedKvShape;
  readonly tokens: readonly number[];
  /** Null: the file does not say who wrote it. */
  readonly signature: Signature | null;
}

/** Rows of a sequence: of some of its blocks, in order, for each of some tensors. */
export interface RowRange {
  readonly firstBlock: number;
  readonly numBlocks: number;
  readonly tensors: readonly { readonly layer: number; readonly part: KvPart; readonly rowBytes: number }[];
}

/** Gives rows in memory of their own: tensor after tensor, each (positions, …its shape). */
export type ReadRows = (range: RowRange) => Promise<Uint8Array<ArrayBuffer>>;

/** Bytes of a tensor that are written at a time, about. */
const PIECE_BYTES = 1024 * 1024;

/** Bytes of the file that `sequenceFile` makes. */
export function sequenceFileBytes({ identity, kv, tokens, signature }: SequenceToSave): number {
  const layout = new SavedLayout(kv, tokens.length);
  const blockDigests = Array.from({ length: layout.numBlocks }, () => "0".repeat(64));
  const metadata = savedMetadata(identity, { tokens, blockDigests }, signature);
  return safetensorsHeader(layout.tensors, metadata).fileBytes;
}

/** The file, front to back. Every piece is its reader's to keep. */
export async function* sequenceFile(
  { identity, kv, tokens, signature }: SequenceToSave,
  readRows: ReadRows,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  const layout = new SavedLayout(kv, tokens.length);
  const blockDigests = await digestBlocks(layout, readRows);
  yield safetensorsHeader(layout.tensors, savedMetadata(identity, { tokens, blockDigests }, signature))
    .header;
  for (const tensor of layout.tensors) yield* tensorPieces(layout, tensor, readRows);
}

async function digestBlocks({ tensors, numBlocks }: SavedLayout, readRows: ReadRows): Promise<string[]> {
  const digests: string[] = [];
  // One is computed while the next block's rows are on their way.
  let computing: Promise<string> | null = null;
  for (let firstBlock = 0; firstBlock < numBlocks; firstBlock++) {
    const rows = await readRows({ firstBlock, numBlocks: 1, tensors });
    if (computing !== null) digests.push(await computing);
    computing = sha256(rows);
  }
  if (computing !== null) digests.push(await computing);
  return digests;
}

async function* tensorPieces(
  { numBlocks: allBlocks }: SavedLayout,
  tensor: SavedTensor,
  readRows: ReadRows,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  const perPiece = Math.max(1, Math.floor(PIECE_BYTES / (BLOCK_SIZE * tensor.rowBytes)));
  for (let firstBlock = 0; firstBlock < allBlocks; firstBlock += perPiece) {
    const numBlocks = Math.min(perPiece, allBlocks - firstBlock);
    yield await readRows({ firstBlock, numBlocks, tensors: [tensor] });
  }
}
