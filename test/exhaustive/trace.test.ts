/** Traces of random models against arithmetic: `npm test` has a part of them. */
import { testRandomConfigurations, testRandomDecoders } from "../conformance/random-traces.js";

testRandomConfigurations(200);
testRandomDecoders(40);
