package identity

import (
	"maps"
	"reflect"

	"ekster.dev/ekster/gen/ec2"
)

// Rows of a table that need no more than the names of fields of the input. They say so by
// name, so that a row can stand here before its operation is served; a test checks that
// the fields of served operations exist.

// field is a field of an input as text: of a string one value, of a list each.
func field(in any, name string) []string {
	v := reflect.Indirect(reflect.ValueOf(in))
	if v.Kind() != reflect.Struct {
		return nil
	}
	switch f := v.FieldByName(name); {
	case !f.IsValid():
		return nil
	case f.Kind() == reflect.Pointer && !f.IsNil() && f.Elem().Kind() == reflect.String:
		return []string{f.Elem().String()}
	case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.String:
		var out []string
		for i := range f.Len() {
			out = append(out, f.Index(i).String())
		}
		return out
	}
	return nil
}

// one is a field that has one value, nil if it is not set.
func one(in any, name string) *string {
	if list := field(in, name); len(list) > 0 {
		return &list[0]
	}
	return nil
}

// ids is the rule of operations of EC2 on the resources whose ids these fields hold.
func ids(names ...string) rule {
	return rule{fields: names, resources: func(s scope, in any) []string {
		var out []string
		for _, name := range names {
			out = append(out, s.ec2s(field(in, name))...)
		}
		return out
	}}
}

// makes is the rule of operations of EC2 that make a resource of a type, with tags, out of
// or inside the resources whose ids these fields hold.
func makes(kind string, names ...string) rule {
	inside := ids(names...)
	tags := func(in any) created {
		v := reflect.Indirect(reflect.ValueOf(in))
		if v.Kind() != reflect.Struct {
			return nil
		}
		f := v.FieldByName("TagSpecifications")
		if !f.IsValid() {
			return nil
		}
		specs, _ := f.Interface().([]ec2.TagSpecification)
		return tagsByType(specs)
	}
	return rule{
		fields: names,
		resources: func(s scope, in any) []string {
			return append([]string{s.arn("ec2", kind+"/*")}, inside.resources(s, in)...)
		},
		made: func(_ scope, in any) created { return tags(in) },
		also: func(s scope, in any) []check { return s.tagOnCreate(tags(in)) },
	}
}

// inCluster is the rule of operations of EKS on a cluster that this field names. What it
// makes there may have tags, which need eks:TagResource on what kind/<cluster>/… will be.
func inCluster(name, kind string) rule {
	r := rule{fields: []string{name}, resources: func(s scope, in any) []string { return []string{s.cluster(one(in, name))} }}
	if kind == "" {
		return r
	}
	r.keys = func(_ scope, in any) map[string][]string { return requestTags(tagMap(in)) }
	r.also = func(s scope, in any) []check {
		return s.tagResource(s.arn("eks", kind+"/"+deref(one(in, name))+"/*"), tagMap(in))
	}
	return r
}

func tagMap(in any) map[string]string {
	v := reflect.Indirect(reflect.ValueOf(in))
	if v.Kind() != reflect.Struct {
		return nil
	}
	if f := v.FieldByName("Tags"); f.IsValid() {
		tags, _ := f.Interface().(map[string]string)
		return tags
	}
	return nil
}

// child is the rule of operations of EKS on what belongs to a cluster, by its name or id.
// The ARNs of some end in a UUID that no input has.
func child(kind, name string, uuid bool) rule {
	return rule{fields: []string{"ClusterName", name}, resources: func(s scope, in any) []string {
		cluster, name := one(in, "ClusterName"), one(in, name)
		if uuid {
			return []string{s.addon(kind, cluster, name)}
		}
		return []string{s.arn("eks", kind+"/"+deref(cluster)+"/"+deref(name))}
	}}
}

// passing adds to a rule the check that the caller may hand the role in a field to a service.
func passing(r rule, name, service string) rule {
	before := r.also
	r.fields = append(r.fields[:len(r.fields):len(r.fields)], name)
	r.also = func(s scope, in any) []check {
		out := s.pass(one(in, name), service)
		if before != nil {
			out = append(out, before(s, in)...)
		}
		return out
	}
	return r
}

// linking adds to a rule the check that the caller may have a service's role made.
func linking(r rule, service string) rule {
	before := r.also
	r.also = func(s scope, in any) []check {
		out := s.linked(service)
		if before != nil {
			out = append(before(s, in), out...)
		}
		return out
	}
	return r
}

// also adds the rows of more tables to one.
func (r rules) also(more ...rules) rules {
	out := rules{}
	for _, m := range append([]rules{r}, more...) {
		maps.Copy(out, m)
	}
	return out
}
