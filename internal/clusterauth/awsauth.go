package clusterauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v2"
	sigsyaml "sigs.k8s.io/yaml"
)

// mappings is what the ConfigMap kube-system/aws-auth says. ARNs are in lower case.
type mappings struct {
	roles    map[string]user
	users    map[string]user
	accounts []string
}

// A line is an entry of mapRoles or mapUsers.
type line struct {
	RoleARN  string   `json:"rolearn"`
	UserARN  string   `json:"userarn"`
	Username string   `json:"username"`
	Groups   []string `json:"groups"`
}

// parseAWSAuth reads the ConfigMap's data. As in EKS's authenticator what is wrong is left
// out and the rest counts: a key that is no YAML maps nobody, a field of another type is as
// if it were not there. The error says what is wrong.
func parseAWSAuth(data map[string]string) (mappings, error) {
	roles, rolesErr := parseLines(data, "mapRoles", func(l line) string { return l.RoleARN })
	users, usersErr := parseLines(data, "mapUsers", func(l line) string { return l.UserARN })
	m := mappings{roles: roles, users: users}
	// Without a detour through JSON, which makes a number of 000000000000.
	accountsErr := yaml.Unmarshal([]byte(data["mapAccounts"]), &m.accounts)
	if accountsErr != nil {
		accountsErr = fmt.Errorf("mapAccounts: %w", accountsErr)
	}
	return m, errors.Join(rolesErr, usersErr, accountsErr)
}

func parseLines(data map[string]string, key string, arn func(line) string) (map[string]user, error) {
	raw, err := sigsyaml.YAMLToJSON([]byte(data[key]))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	var lines []line
	if err = json.Unmarshal(raw, &lines); err != nil { // what fits is decoded all the same
		err = fmt.Errorf("%s: %w", key, err)
	}
	out := map[string]user{}
	for i, l := range lines {
		if arn(l) == "" {
			err = errors.Join(err, fmt.Errorf("%s: entry %d has no ARN", key, i))
			continue
		}
		out[strings.ToLower(arn(l))] = user{name: l.Username, groups: l.Groups}
	}
	return out, err
}

// find returns the user of a principal: by its ARN, or else by its account.
func (m mappings) find(who caller) (user, bool) {
	arn := strings.ToLower(who.canonical)
	if u, ok := m.roles[arn]; ok {
		return u, true
	}
	if u, ok := m.users[arn]; ok {
		return u, true
	}
	if slices.Contains(m.accounts, who.Account) {
		return user{name: who.canonical}, true
	}
	return user{}, false
}
