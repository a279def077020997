package kubeapply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/csaupgrade"
)

// A Conflict is a field that somebody else owns and that an Apply would change.
type Conflict struct {
	Object *unstructured.Unstructured // the one to apply
	Field  string                     // ".spec.template.spec.containers[name=\"coredns\"].image"
}

// String is how EKS writes of it.
func (c Conflict) String() string { return Name(c.Object) + " - " + c.Field }

// Conflicts are those that an Apply of the objects without force would run into, in the
// order of the objects. It is tried, and nothing is changed.
func Conflicts(ctx context.Context, client dynamic.Interface, objects []*unstructured.Unstructured) ([]Conflict, error) {
	found := make([][]Conflict, len(objects))
	index := map[*unstructured.Unstructured]int{}
	for i, u := range objects {
		index[u] = i
	}
	all := func(string) bool { return true }
	err := each(ctx, client, objects, all, func(ctx context.Context, to dynamic.ResourceInterface, u *unstructured.Unstructured) error {
		_, err := to.Apply(ctx, u.GetName(), u, metav1.ApplyOptions{FieldManager: FieldManager, DryRun: []string{metav1.DryRunAll}})
		var status apierrors.APIStatus
		switch {
		case err == nil, apierrors.IsNotFound(err): // its namespace is among the objects
			return nil
		case !apierrors.IsConflict(err) || !errors.As(err, &status) || status.Status().Details == nil:
			return err
		}
		for _, cause := range status.Status().Details.Causes {
			c := Conflict{Object: u, Field: cause.Field}
			if cause.Type == metav1.CauseTypeFieldManagerConflict && !slices.Contains(found[index[u]], c) {
				found[index[u]] = append(found[index[u]], c)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("trying: %w", err)
	}
	return slices.Concat(found...), nil
}

// Leave returns the objects without the fields in conflict. The objects stay as they are.
func Leave(objects []*unstructured.Unstructured, conflicts []Conflict) []*unstructured.Unstructured {
	out := slices.Clone(objects)
	for i, u := range objects {
		for _, c := range conflicts {
			if c.Object != u {
				continue
			}
			if out[i] == u {
				out[i] = u.DeepCopy()
			}
			drop(out[i].Object, elements(c.Field))
		}
	}
	return out
}

// elements splits a field's path: ".a.b[k=\"v\"].c" is a, b, [k="v"], c.
func elements(path string) []string {
	var out []string
	quoted, start := false, 0
	for i := 0; i <= len(path); i++ {
		switch {
		case i == len(path), !quoted && (path[i] == '.' || path[i] == '['):
			if e := strings.TrimPrefix(path[start:i], "."); e != "" {
				out = append(out, e)
			}
			start = i
		case path[i] == '\\' && quoted:
			i++
		case path[i] == '"':
			quoted = !quoted
		}
	}
	return out
}

// drop removes what is at path. A path to what is not there removes nothing; one that goes
// through what Kubernetes merges as a whole removes nothing either.
func drop(in any, path []string) {
	if len(path) == 0 {
		return
	}
	m, ok := in.(map[string]any)
	if !ok {
		return
	}
	// A name may hold dots (".data.my.key"): the longest that is there is meant.
	for n := len(path); n > 0; n-- {
		key := strings.Join(path[:n], ".")
		v, ok := m[key]
		if !ok {
			continue
		}
		rest := path[n:]
		if len(rest) == 0 {
			delete(m, key)
			return
		}
		list, isList := v.([]any)
		if !isList {
			drop(v, rest)
			return
		}
		m[key] = dropItem(list, rest)
		return
	}
}

func dropItem(list []any, path []string) []any {
	at := slices.IndexFunc(list, func(item any) bool { return selects(path[0], item) })
	if at < 0 {
		return list
	}
	if len(path) > 1 {
		drop(list[at], path[1:])
		return list
	}
	return slices.Delete(list, at, at+1)
}

// selects says whether a path's element like [name="x"], [containerPort=53,protocol="UDP"]
// or [="x"] means the item.
func selects(element string, item any) bool {
	inner := strings.TrimSuffix(strings.TrimPrefix(element, "["), "]")
	m, isMap := item.(map[string]any)
	for part := range strings.SplitSeq(inner, ",") {
		key, want, ok := strings.Cut(part, "=")
		if !ok {
			return false
		}
		got := item
		if key != "" {
			if !isMap {
				return false
			}
			got = m[key]
		}
		if s, isText := got.(string); isText {
			got = fmt.Sprintf("%q", s)
		}
		if fmt.Sprint(got) != want {
			return false
		}
	}
	return true
}

// Adopt makes the fields that Create wrote into the objects those of Apply, so that a later
// Apply changes and removes them without conflict. What is not there has no fields.
func Adopt(ctx context.Context, client dynamic.Interface, objects []*unstructured.Unstructured) error {
	all := func(string) bool { return true }
	err := each(ctx, client, objects, all, func(ctx context.Context, to dynamic.ResourceInterface, u *unstructured.Unstructured) error {
		now, err := to.Get(ctx, u.GetName(), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		patch, err := csaupgrade.UpgradeManagedFieldsPatch(now, sets.New(FieldManager), FieldManager)
		if err != nil || patch == nil {
			return err
		}
		_, err = to.Patch(ctx, u.GetName(), types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: FieldManager})
		return err
	})
	if err != nil {
		return fmt.Errorf("adopting: %w", err)
	}
	return nil
}
