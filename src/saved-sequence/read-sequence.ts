/**
 * Reads a saved sequence from a file that may be anything. Sizes are checked before anything is read; some blocks are read
 * at a time, and a block that was returned has the bytes that were saved.
 */
import { LastrowError, savedSequenceInvalid } from "../errors.js";
import type { ModelFile } from "../formats/model-files.js";
import { readSafetensorsHeader, type SafetensorsHeader } from "../formats/safetensors.js";
import { BLOCK_SIZE } from "../kernels/kv-layout.js";
import { rowsInRange } from "../kernels/kv-rows.js";
import { sha256 } from "../platform/digests.js";
import { MOST_SPARE, type SavedKvShape, SavedLayout } from "./saved-layout.js";
import {
  type CheckedMetadata,
  checkMetadata,
  type ExpectedMetadata,
  maxHeaderBytes,
  type Signature,
} from "./saved-metadata.js";

/** What the file has to fit to. */
export interface ExpectedSequence extends Omit<ExpectedMetadata, "fileName"> {
  readonly kv: SavedKvShape;
}

/** Rows of some blocks that follow each other. */
export interface BlockGroup {
  readonly firstBlock: number;
  readonly numBlocks: number;
  /** The position behind them. */
  readonly end: number;
  /** In memory of their own: tensor after tensor of the layout, of each the rows that it has of these blocks. */
  readonly rows: Uint8Array<ArrayBuffer>;
}

/** Most bytes that are read at a time, but for a block that has more. */
const GROUP_BYTES = 8 * 1024 * 1024;

/** A file whose header is sound and fits. */
export class SavedSequence {
  readonly #file: ModelFile;
  readonly #metadata: CheckedMetadata;
  readonly layout: SavedLayout;
  /** Where each tensor of the layout begins. */
  readonly #begins: readonly number[];
  readonly #spare: ArrayBuffer[];

  private constructor(
    file: ModelFile,
    metadata: CheckedMetadata,
    layout: SavedLayout,
    begins: readonly number[],
    spare: ArrayBuffer[],
  ) {
    this.#file = file;
    this.#metadata = metadata;
    this.layout = layout;
    this.#begins = begins;
    this.#spare = spare;
  }

  /**
   * Reads and checks the header; the file stays its caller's to close.
   * @param spare memory to read into; some is left there, for the next file
   * @throws LastrowError `saved_sequence_invalid`, `saved_sequence_mismatch`
   */
  static async open(
    file: ModelFile,
    { kv, ...expected }: ExpectedSequence,
    spare: ArrayBuffer[] = [],
  ): Promise<SavedSequence> {
    const { maxContextLength: maxTokens } = expected;
    const { tensors } = new SavedLayout(kv, maxTokens);
    const header = await ofThisKind(() =>
      readSafetensorsHeader(file, maxHeaderBytes({ tensors: tensors.length, maxTokens })),
    );
    const metadata = checkMetadata(header.metadata, { ...expected, fileName: file.name });
    const layout = new SavedLayout(kv, metadata.tokens.length, metadata.hasAll);
    if (metadata.blockDigests.length !== layout.numBlocks) {
      throw savedSequenceInvalid(
        `${file.name} has ${metadata.blockDigests.length} checksums for ${layout.numBlocks} blocks.`,
      );
    }
    return new SavedSequence(file, metadata, layout, findTensors(header, layout), spare);
  }

  get tokens(): readonly number[] {
    return this.#metadata.tokens;
  }

  /** See `CheckedMetadata`. */
  isSignedBy(signature: Signature): boolean {
    return this.#metadata.isSignedBy(signature);
  }

  /**
   * All rows, checked, in order: some blocks at a time, the next ones being read meanwhile.
   * @throws LastrowError `saved_sequence_invalid`
   */
  async *groups(): AsyncGenerator<BlockGroup, void> {
    const { numBlocks } = this.layout;
    let reading = awaitedLater(this.#readGroup(0));
    try {
      for (let next = 0; next < numBlocks; ) {
        const group = await reading;
        next += group.numBlocks;
        if (next < numBlocks) reading = awaitedLater(this.#readGroup(next));
        await this.#check(group);
        yield group;
      }
    } finally {
      // Stopping early leaves nothing behind that outlives the file.
      await Promise.allSettled([reading]);
    }
  }

  /** Takes back the memory of rows that are not needed any more: what was used before is much faster than new memory. */
  giveBack(rows: Uint8Array<ArrayBuffer>): void {
    if (this.#spare.length < MOST_SPARE) this.#spare.push(rows.buffer);
  }

  async #readGroup(firstBlock: number): Promise<BlockGroup> {
    const { layout } = this;
    let numBlocks = 1;
    while (
      firstBlock + numBlocks < layout.numBlocks &&
      layout.bytesOf(firstBlock, numBlocks + 1) <= GROUP_BYTES
    ) {
      numBlocks += 1;
    }
    const end = layout.endOf(firstBlock + numBlocks);
    const size = layout.bytesOf(firstBlock, numBlocks);
    const spare = this.#spare.pop();
    const buffer = spare !== undefined && spare.byteLength >= size ? spare : new ArrayBuffer(size);
    const rows = new Uint8Array(buffer, 0, size);
    let at = 0;
    const reads = layout.tensors.map((tensor, i) => {
      const target = rows.subarray(at, at + rowsInRange(tensor, firstBlock, end) * tensor.rowBytes);
      at += target.length;
      const before = BLOCK_SIZE * Math.max(0, firstBlock - tensor.firstBlock) * tensor.rowBytes;
      return target.length === 0 ? null : this.#file.read(this.#begins[i] + before, target);
    });
    await ofThisKind(() => Promise.all(reads));
    return { firstBlock, numBlocks, end, rows };
  }

  async #check({ firstBlock, numBlocks, end, rows }: BlockGroup): Promise<void> {
    for (let index = firstBlock; index < firstBlock + numBlocks; index++) {
      const first = index * BLOCK_SIZE;
      const behind = this.layout.endOf(index + 1);
      let at = 0;
      const pieces = this.layout.tensors.map((tensor) => {
        const { rowBytes } = tensor;
        const all = rowsInRange(tensor, firstBlock, end);
        const from = at + (all - rowsInRange(tensor, index, end)) * rowBytes;
        at += all * rowBytes;
        return rows.subarray(from, from + rowsInRange(tensor, index, behind) * rowBytes);
      });
      if ((await sha256(...pieces)) === this.#metadata.blockDigests[index]) continue;
      throw savedSequenceInvalid(
        `${this.#file.name} is damaged: keys and values of positions ${first} to ${behind - 1} do not have the SHA-256 that was saved with them.`,
      );
    }
  }
}

/** Where each tensor begins; all of them must be there, as the layout has them, and no others. */
function findTensors(header: SafetensorsHeader, layout: SavedLayout): number[] {
  const { fileName } = header;
  if (header.tensors.size !== layout.tensors.length) {
    throw savedSequenceInvalid(
      `${fileName} has ${header.tensors.size} tensors, not the ${layout.tensors.length} that it should have.`,
    );
  }
  return layout.tensors.map(({ name, dtype, shape }) => {
    const found = header.tensors.get(name);
    const isRight = found !== undefined && found.dtype === dtype && found.shape.join() === shape.join();
    if (!isRight)
      throw savedSequenceInvalid(`${fileName} has no tensor ${name} of ${dtype} (${shape.join(", ")}).`);
    return found.begin;
  });
}

/** A promise that is awaited later: a failure before that is not an unhandled rejection. */
export function awaitedLater<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/** Errors of the file's reader as errors of a saved sequence. */
async function ofThisKind<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    if (!(cause instanceof LastrowError) || cause.code !== "model_file_invalid") throw cause;
    throw new LastrowError(
      "saved_sequence_invalid",
      `It is not a saved sequence, or it is damaged: ${cause.message}`,
      { cause },
    );
  }
}
