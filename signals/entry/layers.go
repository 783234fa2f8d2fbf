package entry

// Missing has the build tags of the layers that this program lacks, each after
// a space.
const Missing = missingEntry + missingThreads + missingEarly

// PlainThreads is the largest number of threads that the Go runtime may need
// for a plain run, besides the first one, which is the loop's:
//
//   - one that watches over goroutines in system calls (sysmon)
//   - one that writes the log, and blocks in that
//   - one that sleeps until the scavenger's next turn
//   - one that collects garbage
//   - one that is about to sleep when there is work
const PlainThreads = 5
