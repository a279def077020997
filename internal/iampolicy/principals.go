package iampolicy

import (
	_ "embed" // principals.txt
	"regexp"
	"strings"
	"sync"
)

//go:embed principals.txt
var principalsFile string

var principals = sync.OnceValue(func() map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(principalsFile) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			out[line] = true
		}
	}
	return out
})

// regional is what a service's principal is in one region: states.us-east-1.amazonaws.com.
var regional = regexp.MustCompile(`\.[a-z]{2}(-[a-z]+)+-[0-9]+(\.amazonaws\.com)$`)

// ServicePrincipal says whether IAM knows a service by this name, for all regions or for one.
func ServicePrincipal(name string) bool {
	name = strings.ToLower(name)
	return principals()[name] || principals()[regional.ReplaceAllString(name, "$2")]
}
