package main

import (
	"maps"
	"slices"
	"strings"
	"unicode"
)

// goName is the exported Go name of a shape or member: the model's with a
// capital, as AWS's SDK for Go has it.
func goName(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// enumName is the Go name of a value of an enum: CREATE_FAILED is
// CreateFailed, t3.medium is T3Medium.
func enumName(value string) string {
	words := strings.FieldsFunc(value, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	var b strings.Builder
	for _, w := range words {
		if w == strings.ToUpper(w) {
			w = strings.ToLower(w)
		}
		b.WriteString(goName(w))
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
