/**
 * The memory that a template takes. A thread whose heap is full ends alone where it has grown in small steps; but one large
 * text or list for which there is no room left ends the whole process. So the heap of such a thread has room to spare, and it
 * is looked here, whenever something large was made and every few steps, that this room is not needed.
 */

import type { HeapLook } from "../../platform/limited-thread.js";

/** Most that a template may take of a heap, in MiB, far below what the heap of its thread has: see limited-thread.ts. */
const TEMPLATE_MIB = 256;
/** Characters and items from which on a text or a list is large. */
export const LARGE_TEXT = 2 ** 16;
export const LARGE_LIST = 2 ** 13;

/** Of the rendering that is under way, which nothing else can be meanwhile: it waits for nothing. */
let isUsed: HeapLook | undefined;

/** Renders while the heap is looked at. @param look undefined where the runtime does not tell */
export function withinMemory<Result>(look: HeapLook | undefined, render: () => Result): Result {
  isUsed = look;
  try {
    return render();
  } finally {
    isUsed = undefined;
  }
}

/** @throws Error when the template has taken too much */
export function expectMemory(): void {
  if (isUsed?.(TEMPLATE_MIB * 2 ** 20) === true) {
    throw new Error(`it took more than ${TEMPLATE_MIB} MiB of memory`);
  }
}
