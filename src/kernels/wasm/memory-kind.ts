/**
 * A module of the kernels says of the memory that it imports whether threads share it, in one byte: all else of it is the same for
 * both kinds. So one binary is kept, over an ordinary memory, and the other is made of it; the compiler would make the same.
 */

/** The import `env.memory`: two names with their lengths, and that it is a memory. What follows are the flags of its limits. */
const MEMORY_IMPORT = [3, ..."env", 6, ..."memory", 2].map((part) =>
  typeof part === "string" ? part.charCodeAt(0) : part,
);
/** A memory has a maximum; threads share it. */
const [HAS_MAXIMUM, IS_SHARED] = [1, 2];

/**
 * The module over a shared memory.
 * @param binary a module that imports `env.memory` with a maximum, which is not shared
 */
export function overShared(binary: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const at = binary.findIndex((_, from) => MEMORY_IMPORT.every((byte, i) => binary[from + i] === byte));
  const flags = at + MEMORY_IMPORT.length;
  if (at < 0 || binary[flags] !== HAS_MAXIMUM)
    throw new Error("the kernels import no memory that could be shared");
  const shared = binary.slice();
  shared[flags] |= IS_SHARED;
  return shared;
}
