/**
 * The kernels' two modules: what every runtime compiles, and what needs relaxed SIMD, which the first imports where it is
 * there. Every thread of a team instantiates both over one memory.
 */
import { LastrowError } from "../../errors.js";
import { fetchParts, withParts } from "./kernel-parts.js";
import { KERNELS } from "./kernels-binary.js";
import { overShared } from "./memory-kind.js";
import type { KernelPart } from "./packed-types.js";
import type { TeamExports } from "./thread-team.js";

export interface KernelModules {
  readonly module: WebAssembly.Module;
  /** Null where the runtime has no relaxed SIMD by default, or nothing would use it. */
  readonly relaxed: WebAssembly.Module | null;
}

/** Compiles a module at once. */
export type CompileNow = (binary: Uint8Array<ArrayBuffer>) => WebAssembly.Module;
/**
 * Runs `work`, which waits for nothing, at a time when the runtime makes instructions of 256 bits in modules that it
 * compiles with `compile` and in functions of theirs that return there for the first time.
 */
export type WhileWide = <Result>(work: (compile: CompileNow) => Result) => Promise<Result>;

/** What the first module offers: a team's functions, and where the word of choices is (assembly/choices.ts). */
export interface KernelExports extends TeamExports {
  choicesAddress(): number;
}

/**
 * Whether the runtime has relaxed SIMD, by default: a module of one function that returns a relaxed dot product
 * (`i32x4.relaxed_dot_i8x16_i7x16_add_s`) of zeros is valid.
 */
export const hasRelaxedSimd = (): boolean =>
  WebAssembly.validate(
    Uint8Array.of(
      ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
      ...[0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7b, 0x03, 0x02, 0x01, 0x00, 0x0a, 0x13, 0x01, 0x11, 0x00],
      ...[0x41, 0x00, 0xfd, 0x11, 0x41, 0x00, 0xfd, 0x11, 0x41, 0x00, 0xfd, 0x11, 0xfd, 0x93, 0x02, 0x0b],
    ),
  );

/** Stands for the functions of the relaxed module where there is none. */
const NO_RELAXED = new Proxy(
  {},
  {
    get: () => () => {
      throw new Error("a relaxed kernel was called where there is none");
    },
  },
);

/** What there is to compile. */
export interface KernelBinaries {
  readonly module: Uint8Array<ArrayBuffer>;
  readonly relaxed: Uint8Array<ArrayBuffer> | null;
}

/**
 * @param shared whether the memory will be
 * @param relaxed those with relaxed SIMD, as they are kept; null: they are not wanted
 * @param parts of `partsOf` what will be asked of them
 * @throws LastrowError `runtime_unsupported`, `code_unavailable`
 */
export async function kernelBinaries(
  shared: boolean,
  relaxed: string | null,
  parts: readonly KernelPart[],
): Promise<KernelBinaries> {
  const packedParts = await fetchParts(parts);
  const over = (binary: Uint8Array<ArrayBuffer>) => (shared ? overShared(binary) : binary);
  try {
    return {
      module: over(await once(parts.join(), () => unpackModule(packedParts))),
      relaxed: relaxed === null ? null : over(await once("relaxed", () => unpack(relaxed))),
    };
  } catch (cause) {
    throw new LastrowError(
      "runtime_unsupported",
      "This runtime cannot unpack the WebAssembly kernels, which needs DecompressionStream; choose the reference kernels or a newer runtime.",
      { cause },
    );
  }
}

/** @throws LastrowError `runtime_unsupported` */
export async function compileKernels({ module, relaxed }: KernelBinaries): Promise<KernelModules> {
  try {
    return {
      module: await WebAssembly.compile(module),
      relaxed: relaxed && (await WebAssembly.compile(relaxed)),
    };
  } catch (cause) {
    throw new LastrowError(
      "runtime_unsupported",
      "This runtime cannot compile the WebAssembly kernels, which need SIMD; choose the reference kernels or a newer runtime.",
      { cause },
    );
  }
}

/** The kernels of the caller's thread; `HELP` of thread-team.ts is the same for a helper. */
export function instantiateKernels(
  { module, relaxed }: KernelModules,
  memory: WebAssembly.Memory,
): KernelExports {
  const env = { memory };
  const ofRelaxed = relaxed === null ? NO_RELAXED : new WebAssembly.Instance(relaxed, { env }).exports;
  const { exports } = new WebAssembly.Instance(module, { env, relaxed: ofRelaxed });
  return exports as unknown as KernelExports;
}

/** Between two operations; instantiating the modules clears it. */
export function writeChoices(exports: KernelExports, memory: WebAssembly.Memory, choices: number): void {
  new Int32Array(memory.buffer, exports.choicesAddress(), 1)[0] = choices;
}

/** What was unpacked, for good: a program may make kernels many times, and unpacking takes longer than the rest of it. */
const unpacked = new Map<string, Promise<Uint8Array<ArrayBuffer>>>();

/** Not to be changed. */
function once(what: string, make: () => Promise<Uint8Array<ArrayBuffer>>): Promise<Uint8Array<ArrayBuffer>> {
  const known = unpacked.get(what) ?? make();
  unpacked.set(what, known);
  // Another time it may be there.
  known.catch(() => unpacked.delete(what));
  return known;
}

async function unpackModule(parts: readonly string[]): Promise<Uint8Array<ArrayBuffer>> {
  const [common, ...others] = await Promise.all([KERNELS, ...parts].map(unpack));
  return others.length === 0 ? common : withParts(common, others);
}

/** The bytes that scripts/build-kernels.ts has deflated and written as base64. */
async function unpack(base64: string): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(inflated).arrayBuffer());
}
