/** Takes the kernels' module apart, by the names of its functions: src/kernels/wasm/kernel-parts.ts puts it together again. */
import { LEFT_OUT, withParts } from "../src/kernels/wasm/kernel-parts.js";
import { KERNEL_PARTS, type KernelPart } from "../src/kernels/wasm/packed-types.js";
import { numberBytes, withBodies } from "../src/kernels/wasm/wasm-bytes.js";

/**
 * The functions of each part: `file/function`. No other part calls them, nor what every model takes, but where it was asked for what the
 * part is for; src/kernels/wasm/kernel-parts.test.ts finds one that traps.
 */
const FUNCTIONS: Readonly<Record<KernelPart, RegExp>> = {
  half: /^linear-half\//,
  int8: /^(tiles-int8|pack-int8|rows-int8|int8-products)\//,
  blocks: /^unpack-blocks\//,
  quantised:
    /^(tiles-quantised|tiles-widened|rows-widened|rows-by-panels|quantise-groups|linear-quantised|embed-quantised|pack-blocks)\//,
  int4: /^pack-int4\//,
  // The compiler has one function of two that are the same: f32's are called so, too.
  kvF16: /^(?!attention-softmax\/weigh(Scores|Blocks)).*<u16>$/,
  kvInt8: /<i8>$/,
};

/**
 * @param binary the module without names
 * @param names of its functions, in their order
 * @throws Error when its parts do not make the same module again
 */
export function takenApart(
  binary: Uint8Array,
  names: readonly string[],
): { readonly common: Uint8Array; readonly parts: Readonly<Record<KernelPart, Uint8Array>> } {
  const partOf = names.map((name) => KERNEL_PARTS.find((part) => FUNCTIONS[part].test(name)));
  let bodies: readonly Uint8Array[] = [];
  const common = withBodies(binary, (stored) => {
    bodies = stored;
    return stored.map((body, i) => (partOf[i] === undefined ? body : LEFT_OUT));
  });
  const parts = Object.fromEntries(
    KERNEL_PARTS.map((part) => [
      part,
      Buffer.concat(
        bodies.flatMap((body, i) =>
          partOf[i] === part ? [Uint8Array.from([...numberBytes(i), ...numberBytes(body.length)]), body] : [],
        ),
      ),
    ]),
  ) as unknown as Record<KernelPart, Uint8Array>;
  if (!Buffer.from(withParts(common, Object.values(parts))).equals(binary)) {
    throw new Error("the parts of the kernels make another module than the compiler");
  }
  return { common, parts };
}
