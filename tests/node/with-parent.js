// Preloaded into Soketi: ends the process when the test run that started it is gone, however that went.
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
process.stdin.on("error", () => process.exit(0));
