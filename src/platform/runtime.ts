/** Which runtime this is, for by-runtime.ts. */
export const isNode = globalThis.process?.versions?.node !== undefined;
