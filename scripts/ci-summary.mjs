// Reads vitest's JSON report; a skip counts as a failure. Ends with one plain line of counts.
import { readFileSync } from 'node:fs';

const report = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const all = report.testResults.flatMap((file) => file.assertionResults);
const skipped = all.filter((test) => test.status !== 'passed' && test.status !== 'failed');
for (const test of skipped) process.stdout.write(`skipped here, which counts as a failure: ${test.fullName}\n`);
const passed = all.length - skipped.length - report.numFailedTests;
process.stdout.write(`${passed} passed, ${report.numFailedTests + skipped.length} failed\n`);
process.exitCode = report.success && skipped.length === 0 && passed > 0 ? 0 : 1;
