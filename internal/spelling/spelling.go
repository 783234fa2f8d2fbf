// Package spelling finds what a misspelt word was meant to be.
package spelling

import "strings"

// Nearest returns the candidate that takes the fewest edits to make of word, in
// either case, or "" if none is near: an edit for every three letters of word.
// An edit adds, drops or replaces a letter, or swaps two neighbours.
func Nearest(word string, candidates []string) (nearest string) {
	limit := len(word)/3 + 1
	for _, c := range candidates {
		if len(c)-len(word) >= limit || len(word)-len(c) >= limit {
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < limit {
			nearest, limit = c, d
		}
	}
	return nearest
}

// DidYouMean is " (did you mean NEAREST?)", with prefix before it, or "" if no
// candidate is near, or word is one.
func DidYouMean(prefix, word string, candidates []string) string {
	if nearest := Nearest(word, candidates); nearest != "" && nearest != word {
		return " (did you mean " + prefix + nearest + "?)"
	}
	return ""
}

// distance is the number of edits between two words (Damerau and Levenshtein,
// without an edit inside a swap).
func distance(a, b string) int {
	width := len(b) + 1
	rows := make([]int, 3*width) // of the matrix: the one before the last, the last, the present one
	before, last, row := rows[:width], rows[width:2*width], rows[2*width:]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
