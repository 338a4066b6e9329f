/** What an engine computes of given tokens, to the bit: K and V as they lie in its memory, and the logits. */
import type { EngineCore } from "./engine-core.js";

export interface ProbeSink {
  /** @param bytes of full blocks, group after group, then of the logits of the last row */
  end(bytes: Uint8Array<ArrayBuffer>): void;
  fail(error: unknown): void;
}

/** Computes them alone; nothing of it can be found by others, or is kept. */
export function beginProbe(core: EngineCore, tokens: readonly number[], sink: ProbeSink): void {
  const sequence = core.start(
    tokens,
    {
      take: ({ row }) => {
        const { buffer, byteOffset, byteLength } = row(0);
        const logits = new Uint8Array(buffer, byteOffset, byteLength);
        const parts = [...core.transfer.fullBlocks(sequence), logits];
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
