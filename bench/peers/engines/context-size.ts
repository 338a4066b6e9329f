/** Positions that K and V are reserved for. */
export const CONTEXT_SIZE = 1024;
