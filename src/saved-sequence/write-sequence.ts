/**
 * A sequence as the bytes of a safetensors file, a piece at a time. Twice through the rows: once for the checksums, which
 * the header states, and once for the data, tensor by tensor. So it needs the memory of some blocks and no seeking.
 */

import { safetensorsHeader } from "../formats/safetensors-writer.js";
import { BLOCK_SIZE } from "../kernels/kv-layout.js";
import type { RowRange } from "../kernels/kv-rows.js";
import { sha256 } from "../platform/digests.js";
import { MOST_SPARE, type SavedKvShape, SavedLayout, type SavedTensor } from "./saved-layout.js";
import { type SequenceIdentity, type Signature, savedMetadata } from "./saved-metadata.js";

export interface SequenceToSave {
  readonly identity: SequenceIdentity;
  readonly kv: SavedKvShape;
  readonly tokens: readonly number[];
  /** Null: the file is not signed. */
  readonly signature: Signature | null;
}

/**
 * Gives rows: tensor after tensor, each (positions, …its shape).
 * @param memory is used for them if it is large enough, and not to be used meanwhile
 */
export type ReadRows = (range: RowRange, memory: ArrayBuffer) => Promise<Uint8Array<ArrayBuffer>>;

/** Bytes of a tensor that are written at a time, about. */
const PIECE_BYTES = 1024 * 1024;

/** Bytes of the file that `sequenceFile` makes. */
export function sequenceFileBytes({ identity, kv, tokens, signature }: SequenceToSave): number {
  const layout = new SavedLayout(kv, tokens.length);
  const blockDigests = Array.from({ length: layout.numBlocks }, () => "0".repeat(64));
  const metadata = savedMetadata(identity, { tokens, blockDigests, hasAll: layout.hasAll }, signature);
  return safetensorsHeader(layout.tensors, metadata).fileBytes;
}

/** The file, front to back. A piece is valid until the next one is asked for. @param spare memory to use, and to leave */
export async function* sequenceFile(
  { identity, kv, tokens, signature }: SequenceToSave,
  readRows: ReadRows,
  spare: ArrayBuffer[] = [],
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  const layout = new SavedLayout(kv, tokens.length);
  let memory = spare.pop() ?? new ArrayBuffer(0);
  const read = async (range: RowRange) => {
    const rows = await readRows(range, memory);
    memory = rows.buffer;
    return rows;
  };
  const blockDigests = await digestBlocks(layout, read);
  const contents = { tokens, blockDigests, hasAll: layout.hasAll };
  yield safetensorsHeader(layout.tensors, savedMetadata(identity, contents, signature)).header;
  for (const tensor of layout.tensors) yield* tensorPieces(layout, tensor, read);
  // Of many files that are saved at once, each has memory of its own.
  if (spare.length < MOST_SPARE) spare.push(memory);
}

type ReadIntoOwn = (range: RowRange) => Promise<Uint8Array<ArrayBuffer>>;

async function digestBlocks({ tensors, numBlocks }: SavedLayout, read: ReadIntoOwn): Promise<string[]> {
  const digests: Promise<string>[] = [];
  for (let firstBlock = 0; firstBlock < numBlocks; firstBlock++) {
    digests.push(sha256(await read({ firstBlock, numBlocks: 1, tensors })));
  }
  return Promise.all(digests);
}

async function* tensorPieces(
  { numBlocks: allBlocks }: SavedLayout,
  tensor: SavedTensor,
  read: ReadIntoOwn,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  const perPiece = Math.max(1, Math.floor(PIECE_BYTES / (BLOCK_SIZE * tensor.rowBytes)));
  for (let { firstBlock } = tensor; firstBlock < allBlocks; firstBlock += perPiece) {
    const numBlocks = Math.min(perPiece, allBlocks - firstBlock);
    yield await read({ firstBlock, numBlocks, tensors: [tensor] });
  }
}
