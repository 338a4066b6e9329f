/** What an engine computes of given tokens, to the bit: K and V as they lie in its memory, and the logits. */
import { BLOCK_SIZE } from "../kernels/kv-layout.js";
import type { EngineCore } from "./engine-core.js";

export interface ProbeSink {
  /** @param bytes of full blocks, group after group, then of the logits of the last row */
  end(bytes: Uint8Array<ArrayBuffer>): void;
  fail(error: unknown): void;
}

/** Computes them alone; nothing of it can be found by others, or is kept. */
export function beginProbe(core: EngineCore, tokens: readonly number[], sink: ProbeSink): void {
  const { kernels, kvCache } = core;
  const { offset, blockBytes } = kvCache.layout;
  const sequence = core.start(
    tokens,
    {
      take: ({ row }) => {
        const full = Math.floor(sequence.table.length / BLOCK_SIZE);
        const blocks = sequence.table.runs.flatMap(({ first, ids }) =>
          ids.slice(0, Math.max(0, full - first)),
        );
        const logits = row(0);
        const { buffer, byteOffset, byteLength } = logits;
        const parts = [
          ...blocks.map((block) => kernels.u8(offset + block * blockBytes, blockBytes)),
          new Uint8Array(buffer, byteOffset, byteLength),
        ];
        const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
        let at = 0;
        for (const part of parts) {
          bytes.set(part, at);
          at += part.length;
        }
        core.end(sequence);
        sink.end(bytes);
      },
      fail: (error) => sink.fail(error),
    },
    { salt: null },
  );
}
