package entry

// Missing names the layers that this program lacks, by their tags, each after a space.
const Missing = missingEntry + missingThreads + missingEarly

// PlainThreads is how many threads the Go runtime may want for a plain run, besides the first one, which is the loop's: one that watches over
// goroutines in system calls, one that writes the log and can't, one that sleeps until the scavenger's next turn, one that collects
// garbage, and one on its way to sleep when there is work.
const PlainThreads = 5
