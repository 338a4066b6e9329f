/** Memory that threads share where the runtime has it: what lies in it is passed on without a copy. Nothing is changed in it later. */

/** Bytes that threads share; elsewhere plain ones, which are copied from thread to thread. */
export function sharedBytes(byteLength: number): ArrayBufferLike {
  return typeof SharedArrayBuffer === "undefined"
    ? new ArrayBuffer(byteLength)
    : new SharedArrayBuffer(byteLength);
}

type Numbers = Uint8Array | Uint16Array | Int32Array | Uint32Array;

/** A plain object with its arrays, at whatever depth, in shared memory. */
export function inSharedMemory<T>(value: T): T {
  if (ArrayBuffer.isView(value)) {
    const from = value as unknown as Numbers;
    const Numbers = from.constructor as new (buffer: ArrayBufferLike) => Numbers;
    const copy = new Numbers(sharedBytes(from.byteLength));
    copy.set(from);
    return copy as T;
  }
  if (Array.isArray(value)) return value.map(inSharedMemory) as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, inSharedMemory(one)])) as T;
}
