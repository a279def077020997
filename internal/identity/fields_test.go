package identity

import (
	"reflect"
	"testing"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
)

// A row that names fields names such as the operation has, of a type that can be read.
func TestFieldsExist(t *testing.T) {
	rows := 0
	for _, s := range []*awsapi.Service{eks.Service(eks.Unimplemented{}), ec2.Service(ec2.Unimplemented{})} {
		for _, op := range s.Operations {
			r := apis[s.SigningName][op.Name]
			if op.Handle.New == nil || len(r.fields) == 0 {
				continue
			}
			rows++
			in := reflect.TypeOf(op.Handle.New()).Elem()
			for _, name := range r.fields {
				f, ok := in.FieldByName(name)
				if !ok || f.Type != reflect.TypeFor[*string]() && f.Type != reflect.TypeFor[[]string]() {
					t.Errorf("%s of %s has no text in a field %s", op.Name, s.ID, name)
				}
			}
		}
	}
	if rows == 0 {
		t.Error("no row names fields")
	}
}

// An operation has one row: of two the later one would win, unseen.
func TestOneRow(t *testing.T) {
	for service, tables := range map[string][]rules{"ec2": {ec2Rules, ec2NetworkRules, ec2MachineRules}, "eks": {eksRules, eksChildRules}} {
		rows := 0
		for _, table := range tables {
			rows += len(table)
		}
		if rows != len(apis[service]) {
			t.Errorf("the tables of %s have %d rows for %d operations", service, rows, len(apis[service]))
		}
	}
}
